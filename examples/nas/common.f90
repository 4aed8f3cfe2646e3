! What the Fortran programs share: the same numbers, sizes and verification as in common.h.
! SPDX-License-Identifier: Apache-2.0
module common
  use iso_fortran_env, only: int64, real64
  implicit none
#ifndef REAL_KIND
#define REAL_KIND 8
#endif
  integer, parameter :: rk = REAL_KIND
  integer(int64) :: state = 12345
  real(real64) :: start_time = 0
contains
  ! A multiple of 2^-16 in [0, 1): exact in f32 and f64.
  function random_real() result(r)
    real(rk) :: r
    state = iand(state * 1664525_int64 + 1013904223_int64, 4294967295_int64)
    r = real(int(ishft(state, -16)), rk) * 2.0_rk**(-16)
  end function

  function size_of(sizes) result(n)
    integer, intent(in) :: sizes(3)
    integer :: n, at, failed
    character(32) :: text
    call cpu_time(start_time)
    text = "S"
    if (command_argument_count() > 0) call get_command_argument(1, text)
    at = index("SWA", text(1:1))
    if (at > 0) then
      n = sizes(at)
      return
    end if
    read (text, *, iostat=failed) n
    if (failed /= 0 .or. n < 4 .or. n > 2**24) then
      write (0, "(3a)") "size ", trim(text), ": give S, W, A or a number"
      stop 2
    end if
  end function

  subroutine report(name, n, value, sizes, native, tolerance)
    character(*), intent(in) :: name
    integer, intent(in) :: n, sizes(3)
    real(real64), intent(in) :: value, native(3), tolerance(2)
    real(real64) :: known
    character(8) :: verdict
    real(real64) :: now
    known = sum(native, mask=sizes == n)
    verdict = "unknown"
    if (known /= 0) verdict = "FAILED"
    if (known /= 0 .and. abs(value - known) <= tolerance(rk / 4) * abs(known)) &
      verdict = "verified"
    write (*, "(a,1x,i0,a,es24.17,1x,a)") name, n, " value ", value, trim(verdict)
    call cpu_time(now)
    write (0, "(a,1x,i0,a,f0.6)") name, n, " seconds ", now - start_time
    if (verdict == "FAILED") stop 1
  end subroutine
end module
