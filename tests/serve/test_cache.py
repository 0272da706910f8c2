import shutil
import socket
import subprocess
import time

import pytest

from planogram.errors import ConfigError
from planogram.serve.cache import ENTRY_BYTES, LocalCache, RedisCache, key_of, open_cache


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory):
    if not shutil.which("redis-server"):
        pytest.skip("there is no redis-server; on Debian: apt-get install redis-server")
    path = tmp_path_factory.mktemp("redis") / "socket"
    command = ["redis-server", "--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(path.parent)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    for _ in range(200):
        if path.exists():
            break
        time.sleep(0.05)
    yield f"unix://{path}"
    server.terminate()
    server.wait(10)


@pytest.fixture(params=["local", "redis"])
def cache(request):
    if request.param == "local":
        return LocalCache(2**20, 60)
    return RedisCache(request.getfixturevalue("redis_url"), 60)


def test_keys_differ_where_any_part_does():
    keys = [key_of("ab", "c"), key_of("a", "bc"), key_of("abc"), key_of("ab", "c", ""), key_of("ab", "\ud800")]
    assert len(set(keys)) == 5 and {len(key) for key in keys} == {16}
    assert key_of("ab", "c") == keys[0]


def test_what_was_put_is_found_and_nothing_else(cache):
    first, second, third = (key_of(str(cache), name) for name in "abc")
    cache.put({first: b"1", second: b"\x00" * 1000})
    assert cache.get([second, third, first]) == [b"\x00" * 1000, None, b"1"]
    cache.put({first: b"2"})
    assert cache.get([first]) == [b"2"]
    assert cache.get([]) == []


def test_what_was_not_asked_for_longest_goes_first():
    cache = LocalCache(3 * (ENTRY_BYTES + 1), 60)
    cache.put({b"a": b"1", b"b": b"2", b"c": b"3"})
    cache.get([b"a"])
    cache.put({b"d": b"4"})
    assert cache.get([b"a", b"b", b"c", b"d"]) == [b"1", None, b"3", b"4"]


def test_a_value_larger_than_the_room_is_left_out():
    cache = LocalCache(500, 60)
    cache.put({b"a": b"1", b"b": b"x" * 400})
    assert cache.get([b"a", b"b"]) == [b"1", None]


def test_values_are_good_for_their_time():
    clock = Clock()
    cache = LocalCache(1000, 60, clock)
    cache.put({b"a": b"1"})
    clock.now = 59
    assert cache.get([b"a"]) == [b"1"]
    clock.now = 61
    assert cache.get([b"a"]) == [None]


def test_redis_forgets_in_time(redis_url):
    cache = RedisCache(redis_url, 0.05)
    cache.put({b"short": b"1"})
    time.sleep(0.2)
    assert cache.get([b"short"]) == [None]


def test_replicas_share_a_redis(redis_url):
    RedisCache(redis_url, 60).put({b"shared": b"1"})
    assert RedisCache(redis_url, 60).get([b"shared"]) == [b"1"]


def test_a_redis_that_does_not_answer_finds_nothing_and_is_left_alone_for_a_while(caplog):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    clock = Clock()
    clock.now = 100.0
    cache = RedisCache(f"redis://:secret@127.0.0.1:{port}/0", 60, clock)
    assert cache.get([b"a", b"b"]) == [None, None]
    cache.put({b"a": b"1"})
    assert len(caplog.records) == 1 and "secret" not in caplog.text
    clock.now += 10
    cache.put({b"a": b"1"})
    assert len(caplog.records) == 2


@pytest.mark.parametrize("url", ["http://host", "host:6379", "file:///etc/passwd"])
def test_only_a_redis_is_a_redis(url):
    with pytest.raises(ConfigError, match="Redis"):
        open_cache(1, 60, url)


def test_without_room_there_is_no_cache():
    assert open_cache(0, 60, None) is None
    assert isinstance(open_cache(1, 60, None), LocalCache)
