! MG: four V-cycles of multigrid on a periodic cube, with a seven-point operator.
! SPDX-License-Identifier: Apache-2.0
program mg
  use common
  implicit none
  integer, parameter :: sizes(3) = [8, 32, 64]
  real(real64), parameter :: native(3) = [ &
    0.064952590046628136d0, 0.01425080610831438d0, 0.0069244673190759463d0]
  integer :: n, k, d, at(3)
  real(rk), allocatable :: u(:, :, :), v(:, :, :)
  real(rk) :: h2
  n = size_of(sizes)
  if (iand(n, n - 1) /= 0 .or. n > 256) then
    write (0, "(a,i0,a)") "size ", n, " is no power of two up to 256"
    stop 2
  end if
  allocate (u(0:n + 1, 0:n + 1, 0:n + 1), v(0:n + 1, 0:n + 1, 0:n + 1), source=0.0_rk)
  h2 = 1 / (real(n, rk) * real(n, rk))
  do k = 0, 19 ! ten charges of each sign; the last index of C is the first one here
    do d = 3, 1, -1
      at(d) = 1 + int(random_real() * real(n, rk))
    end do
    v(at(1), at(2), at(3)) = v(at(1), at(2), at(3)) + merge(-1, 1, mod(k, 2) == 1)
  end do
  call wrap(v, n)
  do k = 1, 4
    call cycle_at(u, v, n, h2)
  end do
  call report("mg", n, &
              real(sqrt(sum(u(1:n, 1:n, 1:n)**2) / real(n, rk)) * real(n, rk), real64), &
              sizes, native, [1d-4, 1d-12])
contains
  subroutine wrap(w, m)
    integer, intent(in) :: m
    real(rk), intent(inout) :: w(0:m + 1, 0:m + 1, 0:m + 1)
    w(0, :, :) = w(m, :, :)
    w(m + 1, :, :) = w(1, :, :)
    w(:, 0, :) = w(:, m, :)
    w(:, m + 1, :) = w(:, 1, :)
    w(:, :, 0) = w(:, :, m)
    w(:, :, m + 1) = w(:, :, 1)
  end subroutine

  subroutine residual(r, w, right, m, spacing)
    integer, intent(in) :: m
    real(rk), intent(in) :: w(0:m + 1, 0:m + 1, 0:m + 1), right(0:m + 1, 0:m + 1, 0:m + 1)
    real(rk), intent(in) :: spacing
    real(rk), intent(out) :: r(0:m + 1, 0:m + 1, 0:m + 1)
    integer :: i, j, l
    do l = 1, m
      do j = 1, m
        do i = 1, m
          r(i, j, l) = right(i, j, l) - (w(i - 1, j, l) + w(i + 1, j, l) + w(i, j - 1, l) &
                       + w(i, j + 1, l) + w(i, j, l - 1) + w(i, j, l + 1) &
                       - 6 * w(i, j, l)) / spacing
        end do
      end do
    end do
    call wrap(r, m)
  end subroutine

  recursive subroutine cycle_at(w, right, m, spacing)
    integer, intent(in) :: m
    real(rk), intent(inout) :: w(0:m + 1, 0:m + 1, 0:m + 1)
    real(rk), intent(in) :: right(0:m + 1, 0:m + 1, 0:m + 1), spacing
    real(rk), allocatable :: r(:, :, :), coarse(:, :, :), below(:, :, :)
    integer :: i, j, l, half
    allocate (r(0:m + 1, 0:m + 1, 0:m + 1))
    half = m / 2
    call smooth(w, right, r, m, spacing)
    if (m > 2) then
      allocate (coarse(0:half + 1, 0:half + 1, 0:half + 1), source=0.0_rk)
      allocate (below(0:half + 1, 0:half + 1, 0:half + 1))
      call residual(r, w, right, m, spacing)
      do l = 1, half
        do j = 1, half
          do i = 1, half
            below(i, j, l) = sum(r(2*i-1:2*i, 2*j-1:2*j, 2*l-1:2*l)) * 0.125_rk
          end do
        end do
      end do
      call wrap(below, half)
      call cycle_at(coarse, below, half, 4 * spacing)
      do l = 1, m
        do j = 1, m
          do i = 1, m
            w(i, j, l) = w(i, j, l) + coarse((i + 1) / 2, (j + 1) / 2, (l + 1) / 2)
          end do
        end do
      end do
      call wrap(w, m)
    end if
    call smooth(w, right, r, m, spacing)
  end subroutine

  ! Two steps of Jacobi's method, damped.
  subroutine smooth(w, right, r, m, spacing)
    integer, intent(in) :: m
    real(rk), intent(inout) :: w(0:m + 1, 0:m + 1, 0:m + 1), r(0:m + 1, 0:m + 1, 0:m + 1)
    real(rk), intent(in) :: right(0:m + 1, 0:m + 1, 0:m + 1), spacing
    integer :: step
    do step = 1, 2
      call residual(r, w, right, m, spacing)
      w(1:m, 1:m, 1:m) = w(1:m, 1:m, 1:m) - spacing / 8 * r(1:m, 1:m, 1:m)
      call wrap(w, m)
    end do
  end subroutine
end program
