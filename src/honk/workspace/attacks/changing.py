"""Attacks that change the machine, or make more of themselves than they are. Each would change nothing that matters."""

from __future__ import annotations

from honk.workspace.attacks.attack import Attack, Promise

_KERNEL = (
    Attack(
        "have the kernel run a program when another crashes",
        Promise.KERNEL,
        "got(os.open('/proc/sys/kernel/core_pattern', os.O_WRONLY))",
    ),
    Attack(
        "have the kernel run a program when it loads a module",
        Promise.KERNEL,
        "got(os.open('/proc/sys/kernel/modprobe', os.O_WRONLY))",
    ),
    Attack("press the kernel's magic keys", Promise.KERNEL, "got(os.open('/proc/sysrq-trigger', os.O_WRONLY))"),
    Attack(
        "find a kernel setting that can be written",
        Promise.KERNEL,
        """
for folder in ("/proc/sys", "/proc/fs", "/proc/irq", "/proc/bus", "/proc/acpi"):
    for path in below(folder):
        if os.access(path, os.W_OK):
            got(path)
""",
        must="find nothing",
    ),
    Attack(
        "find devices and control groups below /sys",
        Promise.KERNEL,
        "got(os.listdir('/sys'))",
        works_outside=True,
    ),
    Attack(
        "find a disk",
        Promise.KERNEL,
        """
for path in below("/dev"):
    if stat.S_ISBLK(os.lstat(path).st_mode):
        got(path)
""",
        must="find nothing",
    ),
    Attack(
        "make a disk of its own",
        Promise.KERNEL,
        "os.mknod('/tmp/disk', stat.S_IFBLK | 0o600, os.makedev(254, 0)); got('/tmp/disk')",
    ),
    Attack(
        "make the machine's memory a file",
        Promise.KERNEL,
        "os.mknod('/tmp/memory', stat.S_IFCHR | 0o600, os.makedev(1, 1)); got('/tmp/memory')",
    ),
    Attack(
        "read the machine's memory",
        Promise.KERNEL,
        """
refusal = None
for path in ("/dev/mem", "/dev/kmem", "/proc/kcore"):
    try:
        got(os.open(path, os.O_RDONLY))
    except OSError as error:
        refusal = error
raise refusal
""",
    ),
    Attack(
        "see how the machine's memory is used",
        Promise.KERNEL,
        """
for name in ("kpagecount", "kpageflags", "kpagecgroup", "vmallocinfo", "slabinfo", "timer_list", "iomem"):
    if content(f"/proc/{name}"):
        got(name)
""",
        must="find nothing",
    ),
    Attack("read the kernel's messages", Promise.KERNEL, "got(os.open('/dev/kmsg', os.O_RDONLY))"),
    Attack("read the kernel's messages by /proc", Promise.KERNEL, "got(os.open('/proc/kmsg', os.O_RDONLY))"),
    Attack(
        "learn where the kernel lies in memory",
        Promise.KERNEL,
        """
for line in content("/proc/kallsyms", 4096).splitlines():
    if line.split()[0].strip(b"0"):
        got(line)
""",
        must="find nothing",
    ),
    Attack(
        "set the machine's clock",
        Promise.KERNEL,
        "time.clock_settime(time.CLOCK_REALTIME, time.time()); got('the clock')",
    ),
    Attack("rename the machine", Promise.KERNEL, "socket.sethostname(socket.gethostname()); got('the name')"),
    Attack("mount a file system", Promise.KERNEL, "got(call('mount', b'none', b'/tmp', b'tmpfs', 0, None))"),
    Attack(
        "make the system's programs writable",
        Promise.KERNEL,
        "remount, bind = 32, 4096; got(call('mount', None, b'/usr', None, remount | bind, None))",
    ),
    Attack("uncover what lies under a mount", Promise.KERNEL, "detach = 2; got(call('umount2', b'/proc', detach))"),
    Attack("make another folder the root", Promise.KERNEL, "got(call('pivot_root', b'/workspace', b'/workspace'))"),
    Attack(
        "send a process of its own into a namespace by its file",
        Promise.KERNEL,
        "got(call('setns', os.open('/proc/1/ns/mnt', os.O_RDONLY), 0))",
    ),
    Attack("use swap space", Promise.KERNEL, "got(call('swapoff', b'/nowhere'))"),
    Attack("keep process accounts", Promise.KERNEL, "got(call('acct', None))"),
)

_PRIVILEGES = (
    Attack(
        "have a capability",
        Promise.PRIVILEGES,
        """
for line in content("/proc/self/status").decode().splitlines():
    name, _, value = line.partition(":")
    if name in ("CapInh", "CapPrm", "CapEff", "CapAmb") and int(value, 16):
        got(line)
""",
        must="find nothing",
    ),
    Attack(
        "be a process that may gain privileges",
        Promise.PRIVILEGES,
        """
if b"NoNewPrivs:\\t1" not in content("/proc/self/status"):
    got("new privileges are allowed")
""",
        must="find nothing",
    ),
    Attack("become root", Promise.PRIVILEGES, "os.setresuid(0, 0, 0); got(os.getresuid())"),
    Attack("join a group", Promise.PRIVILEGES, "os.setgroups([0]); got(os.getgroups())"),
    Attack(
        "find a setuid program that counts",
        Promise.PRIVILEGES,
        """
for folder in ("/usr/bin", "/usr/sbin", "/usr/lib", "/workspace", "/tmp", "/home/honk"):
    if not os.statvfs(folder).f_flag & os.ST_NOSUID:
        got(folder)
""",
        must="find nothing",
    ),
    Attack(
        "run as root by a setuid program",
        Promise.PRIVILEGES,
        """
import subprocess
for program in ("/usr/bin/sudo", "/usr/bin/pkexec", "/usr/bin/doas"):
    if os.path.exists(program):
        arguments = [] if program.endswith("pkexec") else ["-n"]
        command = [program, *arguments, "id", "-u"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=8)
        if done.stdout.strip() == b"0":
            got(program)
""",
        must="find nothing",
    ),
    Attack(
        "make a user namespace of its own", Promise.PRIVILEGES, "newuser = 0x10000000; got(call('unshare', newuser))"
    ),
    Attack("make a mount namespace of its own", Promise.PRIVILEGES, "newns = 0x20000; got(call('unshare', newns))"),
    Attack("go before other processes", Promise.PRIVILEGES, "got(os.nice(-5))"),
    Attack(
        "be the last to be ended when memory is short",
        Promise.PRIVILEGES,
        "os.write(os.open('/proc/self/oom_score_adj', os.O_WRONLY), b'-1000'); got('oom_score_adj')",
    ),
    Attack(
        "raise a limit that it was given",
        Promise.PRIVILEGES,
        """
import resource
_, most = resource.getrlimit(resource.RLIMIT_NPROC)
try:
    resource.setrlimit(resource.RLIMIT_NPROC, (most + 1, most + 1))
except ValueError as error:
    raise OSError(1, str(error))
got(most + 1)
""",
    ),
)

CHANGING = (*_KERNEL, *_PRIVILEGES)
