"""NVML through the real nvidia-ml-py, played by a stand-in library: what is there, what isn't, and what goes wrong."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from standin import Script

from clusterctl.telemetry import dcgm, gpu_poller
from clusterctl.telemetry.gpu_poller import GpuPoller
from clusterctl.telemetry.nvml_values import GpuReading

UUID = "GPU-00000000-0000-0000-0000-{:012d}"


class Watch:
    """Polls, and keeps the notes."""

    def __init__(self, *only: str) -> None:
        self.notes: list[tuple[str, str, str]] = []
        self.gpus = GpuPoller(lambda *note: self.notes.append(note), only)

    def poll(self, wait: float = 5.0) -> dict[str, GpuReading]:
        self.xids: list[tuple[str, int]]
        readings, self.xids = self.gpus.poll(wait)
        return {reading.gpu.name: reading for reading in readings}

    def kinds(self) -> list[tuple[str, str]]:
        return [note[:2] for note in self.notes]


@pytest.fixture(autouse=True)
def scans_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_poller, "SCAN_SECONDS", 0.05)


def until(done: Callable[[], object], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_eight_gpus_say_all_that_a_row_needs(script: Script) -> None:
    script.set(
        "gpus 8",
        "gpm 1",
        *(f"gpu {i} util {10 * i}" for i in range(8)),
        "gpu 2 power_mw 650000",
        "gpu 2 nvlink_kib_per_s 1000000",
        "gpu 2 pid 42 30000",
    )
    watch = Watch()
    first = watch.poll()
    time.sleep(0.3)
    second = watch.poll()
    assert list(second) == [str(i) for i in range(8)]
    assert [second[str(i)].values["gpu_util_pct"] for i in range(8)] == [10 * i for i in range(8)]
    assert watch.kinds() == [("appeared", str(i)) for i in range(8)]
    assert second["2"].processes == [(42, 30000)]
    assert second["2"].gpu.absent == {}
    row = dcgm.measured(second["2"], first["2"])
    seconds = second["2"].at - first["2"].at
    assert row["energy_j"] == pytest.approx(650 * seconds, rel=0.05)
    assert row["nvlink_kib_per_s"] == pytest.approx(1_000_000, rel=0.05)
    assert row["pcie_tx_kib_per_s"] == pytest.approx(1000, rel=0.05)
    wanted = {
        "memory_util_pct",
        "fb_used_mib",
        "sm_clock_mhz",
        "memory_clock_mhz",
        "power_w",
        "temperature_c",
        "ecc_errors",
        "tensor_active_pct",
    }
    assert wanted <= set(row)
    assert dcgm.device_row(second["2"].gpu) == {
        "gpu": "2",
        "uuid": UUID.format(2),
        "model": "NVIDIA H100 80GB HBM3",
        "driver": "560.35.03",
        "mig_profile": None,
        "fb_total_mib": 81559,
        "power_limit_w": 700,
    }


def test_mig_instances_are_read_for_themselves(script: Script) -> None:
    script.set("gpus 1", "gpm 1", "gpu 0 mig 2", "mig 0 1 util 60", "mig 0 1 used_mib 5000", "mig 0 1 pid 7 4000")
    watch = Watch()
    watch.poll()
    first = watch.poll()
    second = watch.poll()
    assert list(second) == ["0", "0:7", "0:8"]
    assert "gpu_util_pct" not in second["0"].values
    instance = second["0:8"]
    row = dcgm.measured(instance, first["0:8"])
    assert (row["gpu_util_pct"], row["fb_used_mib"], instance.processes) == (60, 5000, [(7, 4000)])
    assert "power_w" not in row
    assert dcgm.absent(instance.gpu, {}, {"power_w": 1, "energy_j": 1}) == {
        "power_w": "NVML says: Not Supported",
        "energy_j": "NVML says: Not Supported",
    }
    assert (instance.gpu.mig_profile, instance.gpu.fb_total_mib, instance.gpu.instance_id) == ("1g.10gb", 9984, 8)
    script.add("gpu 0 mig 0")
    until(lambda: list(watch.poll()) == ["0"])


def test_what_is_not_supported_is_absent_and_not_asked_again(script: Script) -> None:
    script.set(
        "gpus 1",
        "unsupported nvmlDeviceGetUtilizationRates",
        "field_unsupported 83",
        "field_unsupported 197",
        "field_unsupported 198",
    )
    watch = Watch()
    reading = watch.poll()["0"]
    assert {"gpu_util_pct", "energy_mj", "pcie_tx_bytes", "engine_active_pct"} <= set(reading.gpu.absent)
    assert {"gpu_util_pct", "energy_mj"}.isdisjoint(reading.values)
    again = watch.poll()["0"]
    assert dcgm.measured(again, reading)["pcie_tx_kib_per_s"] == 1000  # no counter: the slow call that measures it
    script.set("gpus 1")
    assert "gpu_util_pct" not in watch.poll()["0"].values


def test_an_old_driver_lacks_functions_and_says_so(old_driver: Script) -> None:
    old_driver.set("gpus 1", "driver 418.87.00", "gpu 0 pid 42 100")
    reading = Watch().poll()["0"]
    assert reading.gpu.absent["engine_active_pct"] == "driver 418.87.00 is too old"
    assert reading.values["fb_used_mib"] == 500
    assert "fb_reserved_mib" not in reading.values
    assert reading.processes == [(42, 100)]


def test_a_lost_gpu_is_noted_once_and_the_others_go_on(script: Script) -> None:
    script.set("gpus 3")
    watch = Watch()
    assert len(watch.poll()) == 3
    script.add("gpu 1 lost 1")
    until(lambda: list(watch.poll()) == ["0", "2"])
    for _ in range(5):
        time.sleep(0.06)
        assert list(watch.poll()) == ["0", "2"]
    assert watch.kinds().count(("lost", "1")) == 1
    script.set("gpus 3")
    until(lambda: len(watch.poll()) == 3)
    assert watch.kinds()[-1] == ("appeared", "1")


def test_gpus_that_come_and_go_are_noted(script: Script) -> None:
    script.set("gpus 1")
    watch = Watch()
    watch.poll()
    script.set("gpus 2")
    until(lambda: len(watch.poll()) == 2)
    script.set("gpus 1")
    until(lambda: len(watch.poll()) == 1)
    assert watch.kinds() == [("appeared", "0"), ("appeared", "1"), ("lost", "1")]


def test_a_driver_that_restarts_is_opened_anew(script: Script) -> None:
    script.set("gpus 2", "generation 1")
    watch = Watch()
    assert len(watch.poll()) == 2
    script.set("gpus 2", "loaded 0")
    until(lambda: watch.poll() == {} and not watch.gpus.present)
    assert watch.kinds().count(("restart", "driver")) == 1
    script.set("gpus 2", "generation 2")
    until(lambda: len(watch.poll()) == 2)
    assert not watch.gpus.replaced


def test_a_driver_of_another_version_is_recognised(script: Script) -> None:
    script.set("gpus 1", "generation 1")
    watch = Watch()
    watch.poll()
    script.set("gpus 1", "generation 2", "mismatch 1")
    until(lambda: watch.poll() == {} and watch.gpus.replaced)


def test_without_nvml_the_agent_says_so_once(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    import pynvml

    monkeypatch.setattr(pynvml, "nvmlLib", None)
    watch = Watch()
    for _ in range(3):
        assert watch.poll() == {}
        time.sleep(0.06)
    ((kind, subject, text),) = watch.notes
    assert (kind, subject) == ("absent", "nvml")
    assert "NVML Shared Library Not Found" in text


def test_of_a_node_that_is_shared_only_some_gpus_are_measured(script: Script) -> None:
    script.set("gpus 4")
    assert set(Watch("1", "3", "9").poll()) == {"1", "3"}
    assert set(Watch(Watch().poll()["2"].gpu.uuid).poll()) == {"2"}
    assert set(Watch("MIG-of-another").poll()) == {"0", "1", "2", "3"}, "better all than none"


def test_a_slow_gpu_holds_up_no_other(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_poller, "SLOW_SECONDS", 0.2)
    script.set("gpus 2")
    watch = Watch()
    assert len(watch.poll()) == 2
    script.set("gpus 2", "gpu 1 delay_ms 400")
    until(lambda: list(watch.poll(0.1)) == ["0"])
    until(lambda: watch.poll(0.1) and ("gap", "1") in watch.kinds())
    script.set("gpus 2")
    until(lambda: "1" in watch.poll(0.1), seconds=30)
    assert watch.notes[-1] == ("gap", "1", "the driver answers again")


def test_xids_and_errors_arrive(script: Script) -> None:
    script.set("gpus 2", "gpu 1 ecc 5")
    watch = Watch()
    first = watch.poll()["1"]
    script.add("gpu 1 xid 79", "gpu 1 ecc 7", "gpu 1 ecc_fatal 1", "gpu 1 remapped 1")
    second = watch.poll()["1"]
    assert watch.xids == [(UUID.format(1), 79)]
    assert dcgm.measured(second, first)["ecc_errors"] == 3
    assert second.values["remapped_uncorrectable"] == 1
    watch.poll()
    assert watch.xids == []


def test_a_counter_that_fell_says_nothing(script: Script) -> None:
    script.set("gpus 1", "gpu 0 power_mw 500000")
    watch = Watch()
    first = watch.poll()["0"]
    script.set("gpus 1", "gpu 0 power_mw 1000")
    row = dcgm.measured(watch.poll()["0"], first)
    assert "energy_j" not in row
    assert row["power_w"] == 1


def test_without_nvidia_ml_py_there_is_one_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pynvml", None)
    watch = Watch()
    assert watch.poll() == {}
    assert watch.kinds() == [("absent", "nvml")]
