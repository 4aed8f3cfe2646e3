! LU: a dense system with random entries, factored with partial pivoting and solved.
! SPDX-License-Identifier: Apache-2.0
program lu
  use common
  implicit none
  integer, parameter :: sizes(3) = [32, 160, 640]
  real(real64), parameter :: native(3) = [ &
    0.39260730591860221d0, 0.17500767899874112d0, 0.091665636264604194d0]
  integer :: n, i, j, k, best
  real(rk), allocatable :: a(:, :), b(:), row(:)
  real(rk) :: t
  n = size_of(sizes)
  allocate (a(n, n), b(n), row(n))
  do i = 1, n
    do j = 1, n
      a(i, j) = random_real() - 0.5_rk
    end do
  end do
  do i = 1, n ! the pivot is never a near tie
    j = mod(i, n) + 1
    a(i, j) = a(i, j) + real(n, rk) / 4
    b(i) = random_real()
  end do
  do k = 1, n
    best = k - 1 + maxloc(abs(a(k:n, k)), 1)
    if (best /= k) then
      row = a(k, :)
      a(k, :) = a(best, :)
      a(best, :) = row
      t = b(k)
      b(k) = b(best)
      b(best) = t
    end if
    a(k + 1:n, k) = a(k + 1:n, k) / a(k, k)
    do j = k + 1, n
      do i = k + 1, n
        a(i, j) = a(i, j) - a(i, k) * a(k, j)
      end do
    end do
  end do
  do k = 1, n
    b(k + 1:n) = b(k + 1:n) - b(k) * a(k + 1:n, k)
  end do
  do k = n, 1, -1
    b(k) = b(k) / a(k, k)
    b(1:k - 1) = b(1:k - 1) - b(k) * a(1:k - 1, k)
  end do
  call report("lu", n, real(norm2(b), real64), sizes, native, [1d-4, 1d-12])
end program
