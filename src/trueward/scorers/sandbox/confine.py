"""Confines a process: namespaces of its own, an empty file system, no capabilities, hard limits (Linux).

The system calls are made through ctypes, so no program has to be installed; bubblewrap does the same with them.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import sysconfig

NEWNS, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET = 0x20000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND = 1, 2, 4, 8, 32, 4096
MS_REC, MS_PRIVATE, MNT_DETACH = 16384, 1 << 18, 2
ATIMES = {os.ST_NOATIME: 1024, os.ST_NODIRATIME: 2048, os.ST_RELATIME: 1 << 21}
PR_SET_PDEATHSIG, SIGKILL = 1, 9
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
NOBODY = 65534
MOUNT_AT = ("/mnt", "/srv", "/media", "/opt", "/var", "/tmp")  # noqa: S108 (a place to mount on, nothing is written there)
THREADS = 64


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    result = _libc().mount(
        source.encode(), target.encode(), kind.encode() if kind else None, ctypes.c_ulong(flags),
        data.encode() if data else None,
    )  # fmt: skip
    _check(result, f"mount {target}")


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends."""
    _check(_libc().prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0), "prctl")


def separate() -> None:
    """Enter new namespaces. The next child is process 1 in them: when it ends, so do all processes in them."""
    user, group = os.geteuid(), os.getegid()
    users, groups = f"{user} {user} 1", f"{group} {group} 1"
    if user:
        _leave()
        for name, text in (("setgroups", "deny"), ("uid_map", users), ("gid_map", groups)):
            _write(f"/proc/self/{name}", text)
        return
    # A jail started by root maps two users, root and nobody, since its worker becomes nobody. Only a process outside the
    # namespace may write a map of two.
    here, (ready, go) = os.getpid(), os.pipe()
    helper = os.fork()
    if not helper:
        code = 1
        try:
            os.close(go)
            if os.read(ready, 1):
                _write(f"/proc/{here}/uid_map", f"{users}\n{NOBODY} {NOBODY} 1")
                _write(f"/proc/{here}/gid_map", f"{groups}\n{NOBODY} {NOBODY} 1")
                code = 0
        finally:
            os._exit(code)
    os.close(ready)
    try:
        _leave()
        os.write(go, b"x")
    finally:
        os.close(go)
        code = os.waitstatus_to_exitcode(os.waitpid(helper, 0)[1])
    if code:
        raise OSError(code, "root may not write a map of users here")


def _leave() -> None:
    _check(_libc().unshare(NEWUSER | NEWNS | NEWPID | NEWNET | NEWIPC | NEWUTS), "unshare (user namespaces)")


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def empty_root(machine: str, file_kb: int) -> None:
    """Make the root a file system in memory: the standard library to read, /work to write (`file_kb` kB), and nothing else."""
    path = sysconfig.get_path("stdlib")
    root = next(at for at in MOUNT_AT if os.path.isdir(at) and not path.startswith(f"{at}/"))
    _mount("none", "/", None, MS_REC | MS_PRIVATE)
    _mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=64k,nr_inodes=64,mode=0755")
    os.makedirs(root + path, mode=0o755)
    os.makedirs(root + "/work", mode=0o755)
    _mount(path, root + path, None, MS_BIND)
    original = os.statvfs(root + path).f_flag  # in a user namespace the flags of the original have to stay
    flags = sum(flag for bit, flag in ATIMES.items() if original & bit) | (MS_NOEXEC if original & os.ST_NOEXEC else 0)
    _mount("none", root + path, None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | flags)
    for packages in ("site-packages", "dist-packages"):
        if os.path.isdir(f"{root}{path}/{packages}"):
            _mount(
                "tmpfs", f"{root}{path}/{packages}", "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV, "size=4k,nr_inodes=2"
            )
    work = f"size={file_kb}k,nr_inodes=64,mode=0700,uid={os.geteuid() or NOBODY},gid={os.getegid() or NOBODY}"
    _mount("tmpfs", root + "/work", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, work)
    _mount("none", root, None, MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=64k,nr_inodes=64")
    os.chdir(root)
    _check(_libc().syscall(PIVOT_ROOT[machine], b".", b"."), "pivot_root")
    _check(_libc().umount2(b".", MNT_DETACH), "umount")
    os.chdir("/work")


def limit(seconds: int, memory_mb: int, file_kb: int) -> None:
    """Set hard limits on processor time, memory, a file's size, open files and threads; no core dump."""
    for what, most in (
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_AS, memory_mb << 20),
        (resource.RLIMIT_FSIZE, file_kb << 10),
        (resource.RLIMIT_NOFILE, 32),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_STACK, 64 << 20),
    ):
        lowest = most if resource.getrlimit(what)[1] < 0 else min(most, resource.getrlimit(what)[1])
        resource.setrlimit(what, (lowest, lowest))
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NPROC, (THREADS, THREADS))


def drop_rights() -> None:
    """Become nobody in place of root, and drop all capabilities from every set."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    header = (ctypes.c_uint * 2)(0x20080522, 0)
    _check(_libc().capset(header, (ctypes.c_uint * 6)()), "capset")
