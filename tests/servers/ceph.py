"""A private Ceph cluster of one with its S3 gateway: a real server, in memory, up in two seconds.

Its ways, as of Ceph 16: it takes and forgets SHA-256 checksums; it ignores conditions on
CompleteMultipartUpload, and completes an upload that it does not know without a word where the
object exists; on PutObject it knows its own ETag in ``If-Match`` only without quotes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from millrace import lifeline
from tests.servers.ports import await_port, free_port
from tests.servers.s3 import KEY, SECRET

_CEPH = """
[global]
fsid = {fsid}
keyring = {folder}/keyring
mon host = v2:127.0.0.1:{mon_port}
auth allow insecure global id reclaim = false
mon data avail warn = 1
mon data avail crit = 1
mon allow pool size one = true
mon max pg per osd = 1000
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd crush chooseleaf type = 0
osd objectstore = memstore
memstore device bytes = 2147483648
paxos propose interval = 0.02
paxos min wait = 0.01
ms bind msgr1 = false
public network = 127.0.0.0/8
cluster network = 127.0.0.0/8
run dir = {folder}
log file = {folder}/$name.log
admin socket = {folder}/$name.asok
pid file = {folder}/$name.pid
mon data = {folder}/mon
osd data = {folder}/osd
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:{port}
rgw enable usage log = false
"""


class RadosGateway:
    """A Ceph cluster of one that keeps everything in memory, and its S3 gateway."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._servers: list[subprocess.Popen[bytes]] = []

    @staticmethod
    def installed() -> bool:
        return all(map(shutil.which, ("radosgw", "radosgw-admin", "ceph-mon", "ceph-osd")))

    def start(self) -> None:
        self._configure()
        self._serve("ceph-mon", "-i", "a")
        number = "11111111-2222-3333-4444-555555555555"
        self._run("ceph", "osd", "new", number)
        self._run("ceph", "auth", "import", "-i", "keyring")
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", number)
        self._serve("ceph-osd", "-i", "0")
        self._serve("radosgw", "-n", "client.rgw")
        await_port(self.port, "radosgw")
        keys = ("--access-key", KEY, "--secret", SECRET)
        named = ("--uid", "tests", "--display-name", "tests")
        self._run("radosgw-admin", "-n", "client.rgw", "user", "create", *named, *keys)

    def kill(self) -> None:
        """End it without a goodbye; nothing that was stored is there after a new start."""
        for server in reversed(self._servers):
            server.kill()
            server.wait()
        self._servers.clear()
        shutil.rmtree(self._folder)

    def _configure(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        for name in ("mon", "osd"):
            (self._folder / name).mkdir()
        fsid, mon_port = "99999999-8888-7777-6666-555555555555", free_port()
        told = _CEPH.format(folder=self._folder, fsid=fsid, mon_port=mon_port, port=self.port)
        (self._folder / "ceph.conf").write_text(told)
        address = f"[v2:127.0.0.1:{mon_port}]"
        self._run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", address, "monmap")
        mon = ("-n", "mon.", "--cap", "mon", "allow *")
        self._run("ceph-authtool", "-C", "keyring", "--gen-key", *mon)
        for name in ("client.admin", "client.rgw", "osd.0"):
            caps = [word for kind in ("mon", "osd") for word in ("--cap", kind, "allow *")]
            self._run("ceph-authtool", "keyring", "--gen-key", "-n", name, *caps)
        self._run("ceph-mon", "--mkfs", "-i", "a", "--monmap", "monmap", "--keyring", "keyring")

    def _run(self, *command: str) -> None:
        subprocess.run(
            command, check=True, cwd=self._folder, env=self._environment, capture_output=True
        )

    def _serve(self, *command: str) -> None:
        with (self._folder / f"{command[0]}.out").open("wb") as output:
            server = subprocess.Popen(
                [*command, "-f"],
                cwd=self._folder,
                env=self._environment,
                stdout=output,
                stderr=output,
                preexec_fn=lifeline.die_with_caller,
            )
        self._servers.append(server)

    @property
    def _environment(self) -> dict[str, str]:
        return {**os.environ, "CEPH_CONF": str(self._folder / "ceph.conf")}
