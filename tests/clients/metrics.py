"""Prometheus's own parsers against the metrics port of a server on 127.0.0.1: `metrics.py PORT`. Prints `metrics: ok` at the end, or
fails.

The page is read in both formats, by the strict parser of OpenMetrics and by the one of the older format, and has to say the same.
"""

import sys
import urllib.request

from prometheus_client import parser as text
from prometheus_client.openmetrics import parser as openmetrics

OPENMETRICS = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.1"


def fetch(port, accept):
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=20) as response:
        return response.headers["Content-Type"], response.read().decode()


def samples(families, page):
    written = {line.partition(" ")[0].partition("{")[0] for line in page.splitlines()}
    found = {}
    for family in families:
        for sample in family.samples:
            # The parser of the older format gives the samples of each counter the ending that OpenMetrics wants.
            name = sample.name if sample.name in written else sample.name.removesuffix("_total")
            assert name in written, name
            # One of the parsers writes bounds as they stand, the other as numbers.
            labels = {name: float(value) if name == "le" else value for name, value in sample.labels.items()}
            key = (name, tuple(sorted(labels.items())))
            assert key not in found, f"{key} is there twice"
            found[key] = sample.value
    return found


def main():
    port = int(sys.argv[1])
    kind, page = fetch(port, OPENMETRICS)
    assert kind == "application/openmetrics-text; version=1.0.0; charset=utf-8", kind
    strict = samples(openmetrics.text_string_to_metric_families(page), page)
    kind, page = fetch(port, "text/plain")
    assert kind == "text/plain; version=0.0.4; charset=utf-8", kind
    plain = samples(text.text_string_to_metric_families(page), page)
    assert strict.keys() == plain.keys(), strict.keys() ^ plain.keys()
    for key in sorted(strict):
        name, labels = key
        if name in ("redis_up", "redis_db_keys", "redis_db_keys_expiring", "redis_keyspace_hits_total", "redis_commands_total"):
            print(name, *(value for _, value in labels), f"{strict[key]:g}")
    print("metrics: ok")


main()
