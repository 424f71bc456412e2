"""Attacks that look for what is not theirs, and talk to who is not theirs."""

from __future__ import annotations

from honk.workspace.attacks.attack import FILTER, Attack, Promise

_FILES = (
    Attack(
        "find keys and passwords in the person's home",
        Promise.FILES,
        """
names = [".ssh", ".aws", ".netrc", ".config/gh", ".npmrc", ".git-credentials", ".docker", ".kube", ".gnupg", ".honk"]
names += [".pypirc", ".bash_history", ".config/gcloud", ".azure", ".cargo/credentials.toml", ".m2/settings.xml"]
for name in names:
    if os.path.lexists(f"{bait['home']}/{name}"):
        got(name)
""",
        must="find nothing",
    ),
    Attack(
        "read a file in Honk's home",
        Promise.FILES,
        "got(open(bait['honk_file']).read())",
        works_outside=True,
    ),
    Attack(
        "list Honk's home",
        Promise.FILES,
        """
if names := os.path.isdir(bait["honk_home"]) and os.listdir(bait["honk_home"]):
    got(names)
""",
        must="find nothing",
        works_outside=True,
    ),
    Attack(
        "read a file in the machine's folder for temporary files",
        Promise.FILES,
        "got(open(bait['file']).read())",
        works_outside=True,
    ),
    Attack(
        "read a file in the machine's shared memory",
        Promise.FILES,
        "got(open(bait['shared_memory'] or '/nowhere').read())",
        works_outside=True,
    ),
    Attack("read the machine's password hashes", Promise.FILES, "got(open('/etc/shadow').read())"),
    Attack("list the keys that lie beside the certificates", Promise.FILES, "got(os.listdir('/etc/ssl/private'))"),
    Attack("write a system program", Promise.FILES, "got(os.open('/usr/bin/honk-attack', os.O_CREAT | os.O_WRONLY))"),
    Attack(
        "write the system's configuration",
        Promise.FILES,
        "got(os.open('/etc/honk-attack', os.O_CREAT | os.O_WRONLY))",
    ),
    Attack(
        "change who a user is",
        Promise.FILES,
        "got(os.open('/etc/passwd', os.O_WRONLY | os.O_APPEND))",
    ),
    Attack(
        "make a file at the root of all files",
        Promise.FILES,
        "got(os.open('/honk-attack', os.O_CREAT | os.O_WRONLY))",
    ),
    Attack(
        "change a program of Honk's that runs inside",
        Promise.FILES,
        "got(os.open('/honk/bridge.py', os.O_WRONLY | os.O_APPEND))",
    ),
    Attack(
        "walk upwards from the workspace to the machine's files",
        Promise.FILES,
        "os.chdir('../' * 40); got(open('.' + bait['file']).read())",
        works_outside=True,
    ),
    Attack(
        "reach the machine's files by the root and the folder of any process",
        Promise.FILES,
        """
for folder in processes():
    for way in ("root", "cwd"):
        for path in (bait["file"], bait["honk_file"]):
            if bait["word"].encode() in content(f"{folder}/{way}{path}"):
                got(f"{folder}/{way}{path}")
""",
        must="find nothing",
        works_outside=True,
    ),
    Attack(
        "leave the sandbox by another root and a folder kept open",
        Promise.FILES,
        """
kept = os.open("/", os.O_RDONLY)
os.makedirs("/tmp/elsewhere", exist_ok=True)
os.chroot("/tmp/elsewhere")
os.fchdir(kept)
os.chdir("../" * 40)
got(open("." + bait["file"]).read())
""",
    ),
    Attack(
        "open the machine's files by their numbers on the disk",
        Promise.FILES,
        """
handle = ctypes.create_string_buffer(bytes([8, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]), 16)
got(call("open_by_handle_at", os.open("/usr", os.O_RDONLY), handle, os.O_RDONLY))
""",
    ),
    Attack(
        "overwrite the program that starts sandboxes",
        Promise.FILES,
        "got(os.open('/proc/1/exe', os.O_WRONLY))",
    ),
    Attack(
        "change the mode of the program that starts sandboxes, where others use it",
        Promise.FILES,
        """
program = content("/proc/1/cmdline").split(b"\\0")[0].decode()
try:
    os.chmod("/proc/1/exe", os.stat("/proc/1/exe").st_mode & 0o7777)
except OSError:
    pass
else:
    if not program.startswith(bait["honk_home"]):
        got(f"{program} could be changed")
""",
        must="find nothing",
    ),
)

_PROCESSES = (
    Attack(
        "find another process of the machine",
        Promise.PROCESSES,
        """
for folder in processes():
    for name in ("cmdline", "environ"):
        if name != "cmdline" or folder != f"/proc/{os.getpid()}":
            words = content(f"{folder}/{name}").split(b"\\0")
            if bait["word"].encode() in words or f"HONK_BAIT={bait['word']}".encode() in words:
                got(f"{folder}/{name}")
""",
        must="find nothing",
        works_outside=True,
    ),
    Attack(
        "signal a process of the machine",
        Promise.PROCESSES,
        "os.kill(bait['pid'], 0); got(bait['pid'])",
        works_outside=True,
    ),
    Attack(
        "read the memory of a process of the machine",
        Promise.PROCESSES,
        "got(os.open(f\"/proc/{bait['pid']}/mem\", os.O_RDONLY))",
    ),
    Attack(
        "trace a process of the machine",
        Promise.PROCESSES,
        "seize = 0x4206; got(call('ptrace', seize, bait['pid'], None, None))",
    ),
    Attack(
        "copy out of a process of the machine",
        Promise.PROCESSES,
        """
class Vector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]

buffer = ctypes.create_string_buffer(16)
here = Vector(ctypes.addressof(buffer), 16)
there = Vector(0x400000, 16)
got(call("process_vm_readv", bait["pid"], ctypes.byref(here), 1, ctypes.byref(there), 1, 0))
""",
    ),
    Attack(
        "get hold of a process of the machine",
        Promise.PROCESSES,
        "got(os.pidfd_open(bait['pid']))",
        works_outside=True,
    ),
    Attack(
        "count the machine's processes",
        Promise.PROCESSES,
        """
if len(processes()) > 10:
    got(processes())
""",
        must="find nothing",
    ),
    Attack(
        "see the machine's shared memory segments and queues",
        Promise.PROCESSES,
        """
for name in ("shm", "sem", "msg"):
    if len(content(f"/proc/sysvipc/{name}").splitlines()) > 1:
        got(name)
""",
        must="find nothing",
    ),
)

_SOCKETS = (
    Attack(
        "find the sockets of Docker, D-Bus, X11, the SSH agent and others",
        Promise.SOCKETS,
        """
known = ["/var/run/docker.sock", "/run/containerd/containerd.sock", "/run/podman/podman.sock", "/run/crio/crio.sock"]
known += ["/run/dbus/system_bus_socket", "/run/systemd/private", "/run/systemd/journal/socket", "/dev/log", "/run/user"]
known += ["/tmp/.X11-unix", "/run/snapd.socket", "/run/libvirt", "/run/postgresql", "/run/mysqld", "/run/nscd/socket"]
for path in known:
    if os.path.lexists(path):
        got(path)
for folder in ("/run", "/tmp", "/var/tmp"):
    for path in below(folder):
        if stat.S_ISSOCK(os.lstat(path).st_mode):
            got(path)
""",
        must="find nothing",
    ),
    Attack(
        "connect to a Unix socket of the machine by its path",
        Promise.SOCKETS,
        "socket.socket(socket.AF_UNIX).connect(bait['socket']); got(bait['socket'])",
        works_outside=True,
    ),
    Attack(
        "connect to a Unix socket of the machine that has no path",
        Promise.SOCKETS,
        "socket.socket(socket.AF_UNIX).connect('\\0' + bait['abstract']); got(bait['abstract'])",
        works_outside=True,
    ),
    Attack(
        "list the machine's Unix sockets",
        Promise.SOCKETS,
        """
if bait["abstract"].encode() in content("/proc/net/unix"):
    got(bait["abstract"])
""",
        must="find nothing",
        works_outside=True,
    ),
    Attack(
        "speak to the machine's host by a VM socket",
        Promise.SOCKETS,
        "socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM); got('a VM socket')",
        needs=FILTER,
    ),
)

_ENVIRONMENT = (
    Attack(
        "read Honk's environment",
        Promise.ENVIRONMENT,
        """
if bait["word"] in os.environ.values():
    got("its own environment")
for folder in processes():
    if f"HONK_BAIT={bait['word']}".encode() in content(f"{folder}/environ").split(b"\\0"):
        got(f"{folder}/environ")
""",
        must="find nothing",
        works_outside=True,
    ),
    Attack(
        "use a file that Honk has open",
        Promise.ENVIRONMENT,
        """
for folder in processes():
    try:
        names = os.listdir(f"{folder}/fd")
    except OSError:
        continue
    for name in names:
        try:
            target = os.readlink(f"{folder}/fd/{name}")
        except OSError:
            continue
        if target == bait["file"] or bait["word"].encode() in content(f"{folder}/fd/{name}"):
            got(f"{folder}/fd/{name}")
""",
        must="find nothing",
    ),
    Attack(
        "use the number of a file that Honk has open",
        Promise.ENVIRONMENT,
        "got(os.pread(bait['descriptor'], 100, 0))",
    ),
    Attack("open the terminal Honk was started from", Promise.ENVIRONMENT, "got(os.open('/dev/tty', os.O_RDWR))"),
    Attack(
        "type into the terminal Honk was started from",
        Promise.ENVIRONMENT,
        """
import fcntl
for descriptor in (0, 1, 2):
    try:
        fcntl.ioctl(descriptor, 0x5412, b"#")
    except OSError as error:
        refusal = error
    else:
        got(descriptor)
raise refusal
""",
    ),
)

_KEYS = """
keys = open("/proc/keys").read()
if not keys:
    raise OSError("nothing is in it")
got(keys)
"""

_KEYRING = (
    Attack(
        "read a key in a keyring that it joins by its number",
        Promise.KEYRING,
        """
link, read, own = 8, 11, -3
key_call(2, link, bait["keyring"], own)
key = key_call(1, b"user", b"honk-bait", None, 0)
buffer = ctypes.create_string_buffer(200)
length = key_call(2, read, key, buffer, 200)
got(buffer.raw[:length])
""",
        works_outside=True,
        needs=FILTER,
    ),
    Attack("list the machine's keys", Promise.KEYRING, _KEYS, works_outside=True),
)

_NETWORK = (
    Attack(
        "reach a server on the machine's loopback",
        Promise.NETWORK,
        "got(socket.create_connection(('127.0.0.1', bait['port']), 3))",
        works_outside=True,
    ),
    Attack(
        "reach a server on the machine's loopback by IPv6",
        Promise.NETWORK,
        "got(socket.create_connection(('::1', bait['port6'] or 1), 3))",
    ),
    Attack(
        "reach the cloud's metadata",
        Promise.NETWORK,
        "got(socket.create_connection(('169.254.169.254', 80), 3))",
    ),
    Attack(
        "reach the cloud's metadata by IPv6",
        Promise.NETWORK,
        "got(socket.create_connection(('fd00:ec2::254', 80), 3))",
    ),
    Attack(
        "reach a neighbour on a private network",
        Promise.NETWORK,
        "got(socket.create_connection(('10.0.0.1', 80), 3))",
    ),
    Attack(
        "reach an address of the internet",
        Promise.NETWORK,
        "got(socket.create_connection(('192.0.2.1', 443), 3))",
    ),
    Attack("look a name up", Promise.NETWORK, "got(socket.getaddrinfo('example.com', 443))"),
    Attack(
        "ask a name server directly",
        Promise.NETWORK,
        """
asked = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asked.sendto(b"\\0\\1\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0\\7example\\3com\\0\\0\\1\\0\\1", ("192.0.2.1", 53))
got("a packet went out")
""",
    ),
    Attack(
        "send a ping",
        Promise.NETWORK,
        """
asked = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
asked.sendto(b"\\10\\0\\0\\0\\0\\0\\0\\0", ("192.0.2.1", 0))
got("a packet went out")
""",
    ),
    Attack(
        "see the machine's network interfaces",
        Promise.NETWORK,
        """
others = [name for _, name in socket.if_nameindex() if name != "lo"]
if others:
    got(others)
""",
        must="find nothing",
    ),
    Attack(
        "send packets of its own making",
        Promise.NETWORK,
        "got(socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW))",
    ),
    Attack(
        "listen to every packet",
        Promise.NETWORK,
        "got(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0x300))",
    ),
)

SEEING = (*_FILES, *_PROCESSES, *_SOCKETS, *_ENVIRONMENT, *_KEYRING, *_NETWORK)
