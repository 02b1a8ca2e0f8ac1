"""A program that root starts as somebody else, on root's own terminal, must not type into it.

The ioctl TIOCSTI puts bytes into a terminal's input as if they had been typed: what an unprivileged program left there,
root's shell would run afterwards. TIOCLINUX can paste on a console. Kernels from 6.2 on can forbid the first
(dev.tty.legacy_tiocsti=0), and not all do. So both are refused here, with a seccomp filter (seccomp(2)) that the
program and all it starts inherit; on machines of the architectures below, the older ones among them that their kernels
also run.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys

from fairlead.errors import FairleadError

TIOCSTI, TIOCLINUX = 0x5412, 0x541C

IOCTLS = {
    0xC000003E: (16, 0x40000000 | 514),  # x86_64, and x32
    0x40000003: (54,),  # i386
    0xC00000B7: (29,),  # aarch64
    0x40000028: (54,),  # arm
    0xC00000F3: (29,),  # riscv64
    0xC0000015: (54,),  # ppc64le
    0x80000016: (54,),  # s390x
}
"""AUDIT_ARCH of a machine (linux/audit.h) -> the numbers of its system call ioctl."""

_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
"""BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K, BPF_RET|BPF_K (linux/bpf_common.h)."""

_NUMBER, _ARCH, _ARGUMENT = 0, 4, 24 if sys.byteorder == "little" else 28
"""Where struct seccomp_data holds the call, the architecture, and the low half of the second argument."""

_ALLOW, _REFUSE = 0x7FFF0000, 0x00050001
"""SECCOMP_RET_ALLOW; SECCOMP_RET_ERRNO with EPERM."""

_PR_SET_SECCOMP, _FILTER, _PR_SET_NO_NEW_PRIVS = 22, 2, 38


class _Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("program", ctypes.c_void_p))


def program() -> bytes:
    """The filter: struct sock_filter[]."""
    steps: list[tuple[int, int, int, int]] = [(_LOAD, 0, 0, _ARCH)]
    for arch, numbers in IOCTLS.items():
        # Per architecture: is it this one; is it ioctl; is it one of the two. Every block ends in a return.
        block = [(_LOAD, 0, 0, _NUMBER)]
        block += [(_EQUAL, len(numbers) - index, 0, number) for index, number in enumerate(numbers)]
        block += [(_RETURN, 0, 0, _ALLOW), (_LOAD, 0, 0, _ARGUMENT)]
        block += [(_EQUAL, 2, 0, TIOCSTI), (_EQUAL, 1, 0, TIOCLINUX)]
        block += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _REFUSE)]
        steps += [(_EQUAL, 0, len(block), arch), *block]
    steps.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def forbid_forged_keystrokes() -> None:
    """For this process and all it becomes and starts; it also gains no privilege by a set-user-ID program any more, as
    no instance does. FairleadError when the kernel cannot, and there is a terminal to type into."""
    libc = ctypes.CDLL(None, use_errno=True)
    text = ctypes.create_string_buffer(program())
    wanted = _Filter(len(program()) // 8, ctypes.cast(text, ctypes.c_void_p).value)
    zero = ctypes.c_ulong(0)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), zero, zero, zero) or libc.prctl(
        _PR_SET_SECCOMP, ctypes.c_ulong(_FILTER), ctypes.byref(wanted), zero, zero
    ):
        why = f"the kernel does not take a seccomp filter: {os.strerror(ctypes.get_errno())}"
        if _has_terminal():
            hint = "Run it without a terminal: `setsid fairlead ...`."
            raise FairleadError("the program cannot be kept from typing into this terminal", why, hint)


def _has_terminal() -> bool:
    """Whether this process has a controlling terminal: TIOCSTI works on no other."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return False
    return True
