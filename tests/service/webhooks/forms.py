"""Ways to write an address that a webhook must not reach: the literature's, and what parsers are known to differ on."""

from typing import Final

#: Hosts as a caller may write them. Each means this machine, its network, or nothing that all readers agree on.
HOSTS: Final = (
    # this machine, plainly and not so plainly
    *("127.0.0.1", "127.0.0.2", "127.1.2.3", "127.255.255.254", "0.0.0.0", "0.1.2.3", "localhost", "LOCALHOST"),
    *("localhost.", "localhost.localdomain", "sub.localhost", "ip6-localhost", "127.0.0.1."),
    # decimal, octal, hexadecimal, short, mixed
    *("2130706433", "017700000001", "0x7f000001", "0x7F.0x0.0x0.0x1", "0177.0.0.1", "0177.0000.0000.0001"),
    *("00000177.1", "127.1", "127.0.1", "127.0.0x1", "0x7f.1", "0x7f.0.1", "1", "0", "0x0", "00", "127.0.0.01"),
    *("127.0.0.0x1", "0300.0250.0.1", "3232235777", "0xa9fea9fe", "2852039166", "0251.0376.0251.0376", "169.254.43518"),
    *("192.168.1", "10.1", "256.256.256.256", "4294967296", "127.0.0.256", "1.2.3.4.5", "0x", "127.0.0.1.0x0"),
    # private, carrier, link-local, metadata, test nets, multicast, reserved, broadcast
    *("10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.254", "192.168.0.1", "192.168.255.255", "100.64.0.1"),
    *("100.100.100.200", "100.127.255.254", "169.254.169.254", "169.254.0.1", "169.254.170.2", "168.63.129.16"),
    *("192.0.0.1", "192.0.0.192", "192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1", "198.19.255.255"),
    *("192.88.99.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"),
    # IPv6: loopback, unspecified, mapped, compatible, NAT64, 6to4, Teredo, ISATAP, local, documentation
    *("[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[0000::0001]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"),
    *("[::ffff:10.0.0.1]", "[::ffff:a9fe:a9fe]", "[0:0:0:0:0:ffff:127.0.0.1]", "[::127.0.0.1]", "[::7f00:1]"),
    *("[::ffff:0:127.0.0.1]", "[64:ff9b::127.0.0.1]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b::10.0.0.1]"),
    *("[64:ff9b:1::7f00:1]", "[64:ff9b:1::a9fe:a9fe]", "[2002:7f00:1::]", "[2002:a9fe:a9fe::1]", "[2002:c0a8:101::1]"),
    *("[2001::1]", "[2001:0:7f00:1::]", "[2001:0:0:0:0:0:80ff:fffe]", "[fe80::1]", "[fe80::1%25lo]", "[fe80::1%lo]"),
    *("[febf::1]", "[fec0::1]", "[fc00::1]", "[fd00:ec2::254]", "[fdff::1]", "[ff02::1]", "[ff0e::1]", "[2001:db8::1]"),
    *("[3fff::1]", "[100::1]", "[5f00::1]", "[2a00::5efe:7f00:1]", "[2a00::200:5efe:10.0.0.1]", "[1::]", "[4000::1]"),
    *("[::1%251]", "[v1.1]", "[::g]", "[127.0.0.1]", "[2001:20::1]", "[2001:10::1]", "[3ffe::1]"),
    # names that resolvers answer with such addresses, and names of no public host
    *("127.0.0.1.nip.io", "localtest.me", "7f000001.rbndr.us", "metadata.google.internal", "kubernetes.default.svc"),
    *("instance-data.ec2.internal", "router.local", "intranet", "metadata", "host.docker.internal", "a_b.example.org"),
    # digits of other scripts, dots of other scripts, percent-encoding, control characters
    *("①②⑦.⓪.⓪.①", "127。0。0。1", "\uff11\uff12\uff17.0.0.1", "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ", "%6c%6f%63%61lhost"),
    *("127%2e0%2e0%2e1", "%31%32%37.0.0.1", "127.0.0.1%00.example.org", "local\thost", "local\nhost", "127.0.0.1\t"),
    *("127.0.0.1\\.example.org", "-a.example.org", "a..example.org", ".example.org", "x" * 64 + ".example.org"),
)  # fmt: skip

#: Whole addresses; `{port}` is where something would listen.
URLS: Final = (
    *("http://127.0.0.1:{port}/", "http://hooks.example.org/", "http://hooks.example.org:{port}/"),
    "//127.0.0.1:{port}/",
    *("https://user@127.0.0.1:{port}/", "https://user:pass@hooks.example.org:{port}/", "https://@127.0.0.1:{port}/"),
    *("https://hooks.example.org@127.0.0.1:{port}/", "https://127.0.0.1:{port}@hooks.example.org/"),
    *("https://hooks.example.org:443@127.0.0.1:{port}/", "https://127.0.0.1:{port}#@hooks.example.org/"),
    *("https://127.0.0.1:{port}?@hooks.example.org/", "https://hooks.example.org\\@127.0.0.1:{port}/"),
    *("https://127.0.0.1:{port}\\@hooks.example.org/", "https://hooks.example.org /../127.0.0.1:{port}/"),
    *("https:\\\\127.0.0.1:{port}\\", "https:/127.0.0.1:{port}/", "https:127.0.0.1:{port}", "https:///127.0.0.1:{port}/"),
    *("https://", "https:///", "https://:{port}/", " https://127.0.0.1:{port}/", "\thttps://127.0.0.1:{port}/"),
    *("ht\ntps://127.0.0.1:{port}/", "https://127.0.0.1:{port}/\r\nHost: x", "https://hooks.example.org:0/"),
    *("https://hooks.example.org:22/", "https://hooks.example.org:25/", "https://hooks.example.org:6379/"),
    *("https://hooks.example.org:99999/", "https://hooks.example.org:-1/", "https://hooks.example.org:4_4_3/"),
    *("https://hooks.example.org:٤٤٣/", "https://hooks.example.org:abc/", "https://hooks.example.org/#x"),
    *("https://hooks.example.org/#", "file:///etc/passwd", "file://127.0.0.1/etc/passwd", "ftp://127.0.0.1:{port}/"),
    *("gopher://127.0.0.1:{port}/_SET%20a%20b", "dict://127.0.0.1:{port}/stat", "unix:///run/docker.sock"),
    *("ws://127.0.0.1:{port}/", "wss://127.0.0.1:{port}/", "data:text/plain,x", "javascript:alert(1)"),
    *("http+unix://%2Frun%2Fdocker.sock/", "jar:https://127.0.0.1:{port}/!/", "url:https://127.0.0.1:{port}/", ""),
    *("https://[::1:{port}/", "https://::1:{port}/", "https://[::1]]:{port}/", "https://[[::1]]:{port}/"),
    "127.0.0.1:{port}",
    *("https://127.0.0.1:{port}", "HTTPS://127.0.0.1:{port}/", "https://127.0.0.1:0{port}/", "https://" + "a" * 3_000),
)  # fmt: skip

#: What a name may resolve to, and must not be connected to.
ANSWERS: Final = (
    *("127.0.0.1", "0.0.0.0", "10.1.2.3", "172.20.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254", "224.0.0.1"),
    *("255.255.255.255", "198.18.0.1", "168.63.129.16", "::1", "::", "::ffff:127.0.0.1", "::ffff:169.254.169.254"),
    *("::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::7f00:1", "2002:7f00:1::1", "2001:0:1::1", "fe80::1", "fe80::1%lo"),
    *("fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "2001:db8::1", "2a00::5efe:7f00:1", "nonsense", ""),
)  # fmt: skip
