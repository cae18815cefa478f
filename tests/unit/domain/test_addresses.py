"""Base URLs have one reading; what leads to metadata services, and other addresses that no model has, is refused."""

import pytest

from gateway.domain.addresses import origin_of, parse_address, why_not


# ---- one reading -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://host/v1", "http://host:80"),
        ("https://Host.Example/v1/", "https://host.example:443"),
        ("HTTPS://host:443", "https://host:443"),
        ("http://gpu_1.internal:8000/v1", "http://gpu_1.internal:8000"),
        ("http://10.0.0.7:8000/v1", "http://10.0.0.7:8000"),
        ("http://[::1]:8081/v1", "http://[::1]:8081"),
        ("http://[FD12::0:1]/v1", "http://[fd12::1]:80"),
        ("https://host.example./v1", "https://host.example:443"),
        ("https://xn--bcher-kva.example/v1", "https://xn--bcher-kva.example:443"),
        ("https://host/openai/deployments/a%20b/v1", "https://host:443"),
        ("https://1password.example/v1", "https://1password.example:443"),
        ("", ""),
    ],
)
def test_an_address_has_an_origin(url, origin):
    assert origin_of(url) == origin


@pytest.mark.parametrize(
    "url",
    [
        "host/v1",
        "//host/v1",
        "ftp://host/v1",
        "file:///etc/passwd",
        "gopher://host/",
        "javascript:alert(1)",
        "http:/host/v1",
        "http:host",
        "http://",
        "http:///v1",
        "http://host:0/v1",
        "http://host:65536/v1",
        "http://host:80:81/v1",
        "http://host:x/v1",
        "http://host:-1/v1",
        "http://good.example@evil.example/v1",
        "http://user:password@host/v1",
        "http://good.example\\@evil.example/v1",
        "http://evil.example\\.good.example/v1",
        "http://evil.example%2f.good.example/v1",
        "http://%31%32%37.0.0.1/v1",
        "http://host/v1?to=http://evil.example",
        "http://host/v1#@evil.example",
        "http://ho st/v1",
        " http://host/v1",
        "http://host/v1\n",
        "http://host/\r\nx-evil: 1",
        "http://ho\tst/v1",
        "http://host\0.example/v1",
        "http://ⓔxample.com/v1",
        "http://１２７.0.0.1/v1",
        "http://127。0。0。1/v1",
        "http://bücher.example/v1",
        "http://2130706433/v1",
        "http://017700000001/v1",
        "http://0x7f000001/v1",
        "http://0x7f.0.0.1/v1",
        "http://127.0.0.0x1/v1",
        "http://0177.0.0.1/v1",
        "http://127.1/v1",
        "http://127.0.1/v1",
        "http://127.0.0.01/v1",
        "http://1.2.3.4.5/v1",
        "http://256.0.0.1/v1",
        "http://host.1/v1",
        "http://host.0x/v1",
        "http://[fe80::1%25eth0]/v1",
        "http://[::1/v1",
        "http://::1/v1",
        "http://[127.0.0.1]/v1",
        "http://[::ffff:127.0.0.1.5]/v1",
        "http://[v1.fe80]/v1",
        "http://-host/v1",
        "http://host-/v1",
        "http://a..b/v1",
        "http://.host/v1",
        "http://host../v1",
        "http://" + "a" * 64 + ".example/v1",
        "http://host/" + "a" * 2048,
        "http://host/<script>",
        'http://host/"',
    ],
)
def test_what_could_be_read_as_another_host_is_refused(url):
    with pytest.raises(ValueError, match=r"\w+ \w+") as refused:
        parse_address(url)
    assert "password" not in str(refused.value).replace("a name or a password in an address", "")


# ---- addresses that are never called -----------------------------------------------------------------------------
@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "169.254.170.2",
        "169.254.0.1",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "0.0.0.0",  # noqa: S104  nobody listens here
        "0.1.2.3",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "192.88.99.1",
        "::",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "ff02::1",
        "fd00:ec2::254",
        "fd20:ce::254",
        "::ffff:169.254.169.254",
        "::ffff:10.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "::ffff:0:10.0.0.1",
        "::127.0.0.1",
        "::a9fe:a9fe",
        "64:ff9b::169.254.169.254",
        "64:ff9b::10.0.0.1",
        "64:ff9b::127.0.0.1",
        "64:ff9b:1::1",
        "2002:a9fe:a9fe::1",
        "2002:7f00:1::",
        "2001:0:1:2:3:4:5:6",
        "100::1",
        "metadata.google.internal",
        "metadata.google.internal.",
        "metadata",
        "instance-data",
    ],
)
def test_some_addresses_are_never_called(host):
    assert why_not(host, allow_private=True)
    assert why_not(host, allow_private=False)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.255.255.254",
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "100.64.0.1",
        "198.18.0.1",
        "::1",
        "fd12:3456::1",
        "fc00::1",
    ],
)
def test_private_addresses_are_a_matter_of_the_settings(host):
    assert why_not(host, allow_private=True) is None
    assert "allow_private_networks" in (why_not(host, allow_private=False) or "")


@pytest.mark.parametrize(
    "host",
    [
        "8.8.8.8",
        "1.1.1.1",
        "172.32.0.1",
        "169.253.255.255",
        "169.255.0.0",
        "100.128.0.1",
        "2606:4700::1111",
        "64:ff9b::8.8.8.8",
        "host.example",
        "localhost",
        "metadata.example",
    ],
)
def test_other_addresses_are_called(host):
    assert why_not(host, allow_private=False) is None
