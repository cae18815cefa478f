import os
import socket
from dataclasses import replace

from infra.local.component import Port, free_port
from infra.local.ports import Ports, taken
from tests.unit.infra.tiny import tiny


def test_a_base_gives_eight_ports_in_a_row():
    assert Ports.from_base(21000) == Ports(21000, 21001, 21002, 21003, 21004, 21005, 21006, 21007)


def test_a_port_in_use_is_told_with_all_that_moves_it():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        component = replace(tiny("postgres"), ports=(Port(port, "local.ports.postgres"),))
        [said] = taken([component, tiny("api")])
    assert said.startswith(f"port {port} is in use by ")
    assert f"(process {os.getpid()}): postgres needs it." in said
    assert "local.ports.postgres" in said
    assert "GATEWAY__LOCAL__PORTS__POSTGRES=" in said
    assert "--ports BASE" in said


def test_a_port_that_somebody_holds_on_all_addresses_is_not_free():
    with socket.create_server(("", 0)) as server:
        assert not Port(server.getsockname()[1], "api.port").is_free()


def test_a_port_whose_connections_only_time_out_is_free():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        served, _ = server.accept()
        served.close()
        client.close()
    assert Port(port, "api.port").is_free()


def test_a_free_port_is_free():
    assert Port(free_port(), "api.port").is_free()
