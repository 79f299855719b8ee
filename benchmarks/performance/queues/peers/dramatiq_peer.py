"""dramatiq with async actors and its result back-end. Usage: dramatiq_peer.py worker|producer URL and more."""

import signal
import sys
import threading

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware.asyncio import AsyncIO
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend
from producing import PATIENCE_S, produce_in_threads, slow_job

role, url, *rest = sys.argv[1:]
beat = {"heartbeat_timeout": 5_000} if role.endswith("-tuned") else {}
broker = RedisBroker(url=url, **beat)
backend = RedisBackend(url=url)
broker.add_middleware(Results(backend=backend))
broker.add_middleware(AsyncIO())
dramatiq.set_broker(broker)


@dramatiq.actor(store_results=True, result_ttl=300_000)
async def quick(n: int) -> int:
    return n


@dramatiq.actor(store_results=True, result_ttl=300_000)
async def slow(n: int) -> int:
    return await slow_job(n)


def call_of(kind: str) -> object:
    actor = slow if kind == "slow" else quick

    def call(number: int) -> int:
        return int(actor.send(number).get_result(block=True, timeout=int(PATIENCE_S * 1000)))

    return call


if __name__ == "__main__":
    if role.startswith("worker"):
        worker = dramatiq.Worker(broker, worker_threads=int(rest[0]))
        worker.start()
        print("ready", flush=True)
        stop = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
        stop.wait()
        worker.stop()
    else:
        produce_in_threads(call_of(rest[0]), int(rest[1]), int(rest[2]))
