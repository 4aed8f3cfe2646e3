! FT: a complex field to frequencies, through time there, and back.
! SPDX-License-Identifier: Apache-2.0
program fft
  use common
  implicit none
  integer, parameter :: sizes(3) = [1024, 16384, 262144]
  real(real64), parameter :: native(3) = [ &
    6109.5715842556619d0, 6119.4651561093287d0, 6119.4121951086972d0]
  integer :: n, k, step, f
  complex(rk), allocatable :: x(:), y(:), factor(:)
  complex(rk) :: s
  real(real64) :: angle
  real(rk) :: re, im
  n = size_of(sizes)
  if (iand(n, n - 1) /= 0) then
    write (0, "(a,i0,a)") "size ", n, " is no power of two"
    stop 2
  end if
  allocate (x(0:n - 1), y(0:n - 1), factor(0:n / 2 - 1))
  do k = 0, n / 2 - 1
    angle = 6.283185307179586d0 * k / n
    factor(k) = cmplx(cos(angle), sin(angle), rk)
  end do
  do k = 0, n - 1
    re = random_real()
    im = random_real()
    x(k) = cmplx(re, im, rk)
  end do
  call transform(x, -1)
  s = 0
  do step = 1, 6
    do k = 0, n - 1
      f = merge(k, n - k, k < n / 2) ! damped by time and the square of frequency
      y(k) = real(exp(-1d-6 * step * real(f, real64) * f), rk) / real(n, rk) * x(k)
    end do
    call transform(y, 1)
    do k = 1, 1024
      s = s + y(int(mod(3_int64 * k * step, int(n, int64))))
    end do
  end do
  call report("fft", n, real(real(s) + aimag(s), real64), sizes, native, [1d-4, 1d-12])
contains
  subroutine transform(z, sign)
    complex(rk), intent(inout) :: z(0:)
    integer, intent(in) :: sign
    complex(rk) :: c, t
    integer :: i, j, bit, half
    j = 0
    do i = 1, n - 1
      bit = n / 2
      do while (iand(j, bit) /= 0)
        j = ieor(j, bit)
        bit = bit / 2
      end do
      j = ior(j, bit)
      if (i < j) then
        t = z(i)
        z(i) = z(j)
        z(j) = t
      end if
    end do
    half = 1
    do while (half < n)
      do i = 0, n - 1, 2 * half
        do j = 0, half - 1
          c = factor(j * (n / 2 / half))
          if (sign < 0) c = conjg(c)
          t = c * z(i + j + half)
          z(i + j + half) = z(i + j) - t
          z(i + j) = z(i + j) + t
        end do
      end do
      half = 2 * half
    end do
  end subroutine
end program
