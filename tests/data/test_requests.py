import numpy as np
import pytest

from data.errors import BadSource
from data.readers.fleet.requests import read_alibaba_requests, read_azure_requests


def test_recordings_are_read_in_order_from_their_first_moment(tmp_path):
    path = tmp_path / "qps.csv"
    path.write_text("timestamp_anon,value,container_ip,request_type\n160,2.5,,API\n100,1.0,a,API\nx,1,a,API\n")
    requests, bad = read_alibaba_requests(path)
    assert requests.at_s.tolist() == [0.0, 60.0]
    assert requests.amount.tolist() == [1.0, 2.5]
    assert len(bad) == 1
    assert "timestamp_anon" in str(bad[0])


def test_each_request_of_azure_counts_once(tmp_path):
    path = tmp_path / "azure.csv"
    path.write_text("TIMESTAMP,ContextTokens\n2023-11-16 18:17:03.9799600,4\n2023-11-16 18:17:04.9799600,5\nnever,1\n")
    requests, bad = read_azure_requests(path)
    assert requests.at_s == pytest.approx([0.0, 1.0])
    assert requests.amount.tolist() == [1.0, 1.0]
    assert "TIMESTAMP" in str(bad[0])


def test_a_file_of_something_else_is_refused(tmp_path):
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(BadSource, match="TIMESTAMP"):
        read_azure_requests(path)


def test_the_recordings_at_hand_can_be_read(real_data):
    path = real_data / "alibaba_genai_v2026" / "qps.first5000.csv"
    if not path.is_file():
        pytest.skip(f"no recording: {path} is missing")
    requests, bad = read_alibaba_requests(path)
    assert len(requests.at_s) == 5_000
    assert not bad
    assert (np.diff(requests.at_s) >= 0.0).all()
