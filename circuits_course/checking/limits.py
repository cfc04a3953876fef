"""What the kernel refuses a learner's process, once set: memory, processor time, other processes.

`Limits` are the POSIX ones. `refuse_calls` is a filter of system calls (seccomp, Linux): no further
processes, no signals to others, no sockets, none of the calls that reach into other processes
or change what the sandbox is made of. Neither can be taken off again.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from contextlib import suppress
from pathlib import Path

MEMORY = 2_000_000_000  # bytes that answers may take beyond what is there before
FILE = 10_000_000  # bytes of any one file written

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
_KILL = 9


def limit(seconds: int) -> None:
    """Limits of processor time, memory and size of files, as far as the system has them."""
    try:
        import resource
    except ImportError:  # Windows: the judge's clock alone
        return
    limits = {"RLIMIT_CPU": seconds, "RLIMIT_FSIZE": FILE, "RLIMIT_CORE": 0}
    for name, value in limits.items():
        with suppress(ValueError, OSError, AttributeError):
            resource.setrlimit(getattr(resource, name), (value, value))
    limit_memory(MEMORY)


def limit_memory(more: int) -> None:
    """At most so many bytes beyond what this process has, where the system can say what that is."""
    if not _address_space():
        return
    import resource

    with suppress(ValueError, OSError):
        value = _address_space() + more
        resource.setrlimit(resource.RLIMIT_AS, (value, value))


def _address_space() -> int:
    """Bytes of address space in use; 0 where that cannot be read."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (OSError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def die_with_parent() -> None:
    """This process ends when the one that started it does (Linux)."""
    _prctl(_PR_SET_PDEATHSIG, _KILL)


def hide_memory() -> None:
    """No process of the same user may read or write this one's memory (Linux)."""
    _prctl(_PR_SET_DUMPABLE, 0)


def _prctl(option: int, *arguments: object) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    rest = [*arguments, *[0] * (4 - len(arguments))]
    libc = ctypes.CDLL(None, use_errno=True)
    words = [ctypes.c_ulong(a) if isinstance(a, int) else a for a in rest]
    return libc.prctl(option, *words) == 0


# --- system calls -----------------------------------------------------------------------------

_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_REFUSED = {  # name: number on x86_64, on aarch64; None where there is no such call
    "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281),
    "socket": (41, 198), "ptrace": (101, 117), "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "setpriority": (141, 140), "sched_setparam": (142, 118), "sched_setscheduler": (144, 119),
    "sched_setattr": (314, 274), "ioprio_set": (251, 30),
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "unshare": (272, 97), "setns": (308, 268), "bpf": (321, 280), "perf_event_open": (298, 241),
    "userfaultfd": (323, 282), "add_key": (248, 217), "request_key": (249, 218),
    "keyctl": (250, 219), "personality": (135, 92), "pidfd_send_signal": (424, 424),
    "io_uring_setup": (425, 425), "open_tree": (428, 428), "move_mount": (429, 429),
    "fsopen": (430, 430), "pidfd_open": (434, 434), "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440), "mount_setattr": (442, 442),
}  # fmt: skip
_TO_ITSELF = {  # allowed where the first argument is this process
    "kill": (62, 129), "tgkill": (234, 131), "prlimit64": (302, 261),
    "sched_setaffinity": (203, 122),
}  # fmt: skip
_CLONE, _CLONE3 = (56, 220), (435, 435)
_CLONE_THREAD, _X32 = 0x10000, 0x40000000
_EPERM, _ENOSYS = 1, 38
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERROR, _KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER, _ARCH, _FIRST_ARGUMENT = 0, 4, 16  # places in struct seccomp_data

Step = tuple[int, int, int, int]
"""One instruction of the filter: code, jump if true, jump if false, constant."""


def refuse_calls() -> bool:
    """Refuses those calls from now on; False where this system has no such filter."""
    machine = platform.machine()
    if not sys.platform.startswith("linux") or machine not in _ARCHITECTURES:
        return False
    steps = _filter(list(_ARCHITECTURES).index(machine), _ARCHITECTURES[machine], os.getpid())
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = ctypes.create_string_buffer(
        struct.pack("HxxxxxxQ", len(steps), ctypes.addressof(code))
    )
    return _prctl(_PR_SET_NO_NEW_PRIVS, 1) and _prctl(
        _PR_SET_SECCOMP, 2, ctypes.c_void_p(ctypes.addressof(program))
    )


def _filter(column: int, architecture: int, own: int) -> list[Step]:
    refuse = (_RETURN, 0, 0, _ERROR | _EPERM)
    allow = (_RETURN, 0, 0, _ALLOW)
    first = (_LOAD, 0, 0, _FIRST_ARGUMENT)
    steps: list[Step] = [
        (_LOAD, 0, 0, _ARCH), (_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, _NUMBER), (_AT_LEAST, 0, 1, _X32), refuse,
    ]  # fmt: skip

    def when(number: int | None, block: list[Step]) -> None:
        if number is not None:
            steps.extend([(_EQUAL, 0, len(block), number), *block])

    for numbers in _REFUSED.values():
        when(numbers[column], [refuse])
    for numbers in _TO_ITSELF.values():
        itself = [first, (_EQUAL, 1, 0, 0), (_EQUAL, 0, 1, own), allow, refuse]
        when(numbers[column], itself)
    when(_CLONE[column], [first, (_ANY_BIT, 0, 1, _CLONE_THREAD), allow, refuse])
    when(_CLONE3[column], [(_RETURN, 0, 0, _ERROR | _ENOSYS)])  # glibc then takes clone
    return [*steps, allow]
