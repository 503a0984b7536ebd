"""Prefill and decode on machines of their own: the connector that hands the KV cache over."""

from __future__ import annotations

import json
from collections.abc import Iterator

from serving.plan import USER, Flag
from serving.rules.situation import Situation
from serving.wishes import DECODE, PREFILL

_PORT = {PREFILL: "30000", DECODE: "30100"}
_ROLE = {PREFILL: "kv_producer", DECODE: "kv_consumer"}


def transfer(s: Situation) -> Iterator[Flag]:
    role = s.wishes.role
    if not role:
        return
    own = {"dp_size": s.fit.layout.data, "tp_size": s.fit.layout.tensor}
    peer = s.wishes.peer
    other = {"dp_size": peer[1], "tp_size": peer[0]} if peer else own
    sizes = {PREFILL: own, DECODE: other} if role == PREFILL else {PREFILL: other, DECODE: own}
    settings = {
        "kv_connector": "MooncakeConnectorV1",
        "kv_role": _ROLE[role],
        "kv_port": _PORT[role],
        "engine_id": "0" if role == PREFILL else "1",
        "kv_connector_extra_config": {"use_ascend_direct": True, **sizes},
    }
    yield Flag(
        "--kv-transfer-config",
        json.dumps(settings),
        f"this server does {role} only; both sides must know the real sizes of both",
        USER,
    )
