! CG: the smallest eigenvalue of a sparse matrix by inverse iteration with conjugate
! gradients, on a five-point operator with random coefficients.
! SPDX-License-Identifier: Apache-2.0
program cg
  use common
  implicit none
  integer, parameter :: sizes(3) = [16, 64, 256]
  real(real64), parameter :: native(3) = [ &
    0.25334138831882225d0, 0.2481017325618991d0, 0.2477042641143076d0]
  integer :: n, rows, i, k, step
  real(rk), allocatable :: east(:), south(:), entry(:), x(:), z(:), r(:), p(:), q(:)
  integer, allocatable :: start(:), column(:)
  real(rk) :: zeta, rho, before, alpha
  n = size_of(sizes)
  rows = n * n
  allocate (east(rows), south(rows), entry(5 * rows), start(rows + 1), column(5 * rows))
  allocate (x(rows), z(rows), r(rows), p(rows), q(rows))
  call fill()
  do i = 1, rows
    x(i) = 0.5_rk + random_real()
  end do
  do k = 1, 4
    z = 0
    r = x
    p = x
    rho = dot_product(r, r)
    do step = 1, 25
      call multiply()
      alpha = rho / dot_product(p, q)
      z = z + alpha * p
      r = r - alpha * q
      before = rho
      rho = dot_product(r, r)
      p = r + rho / before * p
    end do
    zeta = dot_product(x, x) / dot_product(x, z)
    x = z / sqrt(dot_product(z, z))
  end do
  call report("cg", n, real(zeta, real64), sizes, native, [1d-3, 1d-10])
contains
  subroutine multiply()
    integer :: row, at
    real(rk) :: s
    do row = 1, rows
      s = 0
      do at = start(row), start(row + 1) - 1
        s = s + entry(at) * p(column(at))
      end do
      q(row) = s
    end do
  end subroutine

  subroutine add(at, to, c, total)
    integer, intent(inout) :: at
    integer, intent(in) :: to
    real(rk), intent(in) :: c
    real(rk), intent(inout) :: total
    column(at) = to
    entry(at) = -c
    total = total + c
    at = at + 1
  end subroutine

  subroutine fill()
    integer :: row, at, column_x, row_y
    real(rk) :: total
    do row = 1, rows
      east(row) = 1 + random_real()
      south(row) = 1 + random_real()
    end do
    at = 1
    do row = 1, rows
      column_x = mod(row - 1, n)
      row_y = (row - 1) / n
      total = 0.125_rk + random_real() * 0.25_rk
      start(row) = at
      if (row_y > 0) call add(at, row - n, south(row - n), total)
      if (column_x > 0) call add(at, row - 1, east(row - 1), total)
      if (column_x < n - 1) call add(at, row + 1, east(row), total)
      if (row_y < n - 1) call add(at, row + n, south(row), total)
      column(at) = row
      entry(at) = total
      at = at + 1
    end do
    start(rows + 1) = at
  end subroutine
end program
