"""Hubs, S3 and MLflow: whether they answer, and whether they know who asks."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from registry.config import Settings
from registry.doctor.asking import UNTRUSTED, Clocks, Reply, ask, judge
from registry.doctor.check import LIMIT, OK, UNKNOWN, WARNING, Check
from registry.urls import without_credentials

_TRUSTING = "Name the file with its authority's certificate in MLFLOW_TRACKING_SERVER_CERT_PATH ."


def hugging_face(clocks: Clocks) -> Iterator[Check]:
    """The Hugging Face hub of HF_ENDPOINT, with the user's token if there is one."""
    from registry.stores.huggingface.control import ENDPOINT, SIGNING_IN, endpoint, headers

    sent = headers()
    yield _hub(
        "huggingface", "The Hugging Face hub", endpoint(), "/api/whoami-v2", "/api/models?limit=1",
        sent, clocks, ENDPOINT, SIGNING_IN,
    )  # fmt: skip


def modelscope(clocks: Clocks) -> Iterator[Check]:
    """The ModelScope hub of MODELSCOPE_ENDPOINT, with the user's token if there is one."""
    from registry.stores.modelscope.client import ENDPOINT, SIGNING_IN, connect, headers

    api = connect()
    yield _hub(
        "modelscope", "The ModelScope hub", str(api.legacy.endpoint).rstrip("/"),
        "/openapi/v1/users/me", "/openapi/v1/models?page_size=1",
        headers(api), clocks, ENDPOINT, SIGNING_IN,
    )  # fmt: skip


def _hub(
    name: str,
    what: str,
    origin: str,
    who: str,
    anyone: str,
    headers: Mapping[str, str],
    clocks: Clocks,
    address: str,
    signing_in: str,
) -> Check:
    where = without_credentials(origin)
    what = f"{what} at {where}"
    signing = signing_in[:1].upper() + signing_in[1:]
    known = any(key.lower() == "authorization" for key in headers)
    reply = ask(what, f"{origin}{who if known else anyone}", clocks, headers)
    if known and reply.status == 404:  # a hub that does not tell who one is
        reply = ask(what, f"{origin}{anyone}", clocks, headers)
    if not known and reply.status in (400, 404, 405):
        # It is there, and lists nothing; names are looked up all the same.
        return Check(name, OK, f"{what} answers; no token is set", "", where)
    found = judge(name, what, reply, address=address, signing_in=signing)
    if found.status == OK:
        token = f"knows the token{_named(reply.body)}" if known else "no token is set"
        found = replace(found, found=f"{what} answers; {token}" if not known else f"{what} {token}")
    elif reply.status == 401 and not known:
        found = replace(found, found=f"{what} answers, and lets nobody in without a token (401)")
    return replace(found, where=where)


def _named(body: Any) -> str:
    inner = body.get("data", body) if isinstance(body, Mapping) else {}
    inner = inner if isinstance(inner, Mapping) else {}
    name = inner.get("name") or inner.get("username") or inner.get("login")
    return f" of {name[:60]}" if isinstance(name, str) and name else ""


def s3(urls: tuple[str, ...], clocks: Clocks) -> Iterator[Check]:
    """The buckets that the settings name."""
    for url in urls:
        yield _bucket(url, clocks)


def _bucket(url: str, clocks: Clocks) -> Check:
    from registry.stores.s3.client import import_boto3
    from registry.stores.s3.endpoint import own_endpoint

    bucket = url.removeprefix("s3://").partition("/")[0]
    own = own_endpoint()
    what = f"The bucket {bucket} at {without_credentials(own) if own else 'Amazon S3'}"
    signing = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
    boto3, config = import_boto3()
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        NoCredentialsError,
        PartialCredentialsError,
    )

    client = boto3.session.Session().client(
        "s3",
        config=config(
            connect_timeout=LIMIT,
            read_timeout=LIMIT,
            retries={"total_max_attempts": 1},
            signature_version="s3v4",
            s3={"addressing_style": "path" if own else "auto"},
        ),
    )
    try:
        answer = client.list_objects_v2(Bucket=bucket, MaxKeys=1)
        date = answer["ResponseMetadata"]["HTTPHeaders"].get("date", "")
        clocks.note(what, date)
        return Check("s3", OK, f"{what} answers and can be listed", "", url)
    except ClientError as error:
        meta = error.response.get("ResponseMetadata", {})
        clocks.note(what, meta.get("HTTPHeaders", {}).get("date", ""))
        code = str(error.response.get("Error", {}).get("Code", ""))[:60]
        status = int(meta.get("HTTPStatusCode") or 0)
        if code == "NoSuchBucket":
            return Check("s3", WARNING, f"{what} does not exist", "Make it, or mend the URL.", url)
        # S3 says 403 for a key that it does not know, too; its code tells the two apart.
        if code in ("InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthorizationHeaderMalformed"):
            status = 401
        if code == "RequestTimeTooSkewed":
            fix = "Set the clock: `timedatectl set-ntp true`."
            return Check("s3", WARNING, f"{what} refuses the clock of this machine", fix, url)
        found = judge("s3", what, Reply(status), address="AWS_ENDPOINT_URL_S3", signing_in=signing)
        return replace(found, found=f"{found.found}, {code}" if code else found.found, where=url)
    except (NoCredentialsError, PartialCredentialsError):
        return Check("s3", WARNING, f"There are no credentials for {what}", f"{signing}.", url)
    except BotoCoreError as error:
        reply = Reply(0, f"no connection ({type(error).__name__})")
        found = judge("s3", what, reply, address="AWS_ENDPOINT_URL_S3", signing_in=signing)
        return replace(found, where=url)


def mlflow(settings: Settings, clocks: Clocks) -> Iterator[Check]:
    """The tracking server, without loading MLflow; the embedded database is opened for reading."""
    from registry.tracking.entries.rest import is_spoken_by, server_of

    uri, where = settings.tracking_uri, settings.tracking_label
    scheme = urlsplit(uri).scheme
    if scheme == "sqlite":
        yield _database(settings, where)
    elif is_spoken_by(uri):
        server = server_of(uri)  # with the credentials and certificates that MLflow would use
        path = "api/2.0/mlflow/experiments/search?max_results=1"
        reply = ask("MLflow", f"{server.url}/{path}", clocks, server.headers, server.arguments)
        found = judge(
            "mlflow", f"MLflow at {where}", reply, address="MLFLOW_TRACKING_URI",
            signing_in="Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or "
            "MLFLOW_TRACKING_TOKEN, or write ~/.mlflow/credentials",
        )  # fmt: skip
        if found.status == OK:
            found = replace(found, found=f"MLflow at {where} answers and can be read")
        else:
            fix = _TRUSTING if reply.problem == UNTRUSTED else found.fix
            fix = f"{fix} Runs are kept on this machine until then."
            found = replace(found, fix=fix)
        yield replace(found, where=where)
    else:
        yield Check(
            "mlflow", UNKNOWN, f"MLflow at {where} can be asked by MLflow alone",
            "Look with `qreg sync`.", where,
        )  # fmt: skip


def _database(settings: Settings, where: str) -> Check:
    from pathlib import Path

    path = Path(settings.tracking_uri.removeprefix("sqlite:///"))
    if not path.exists():
        return Check(
            "mlflow", OK, f"MLflow's database {path} is made with the first run", "", where
        )
    try:
        database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=LIMIT)
        try:
            runs = database.execute("SELECT count(*) FROM runs").fetchone()[0]
        finally:
            database.close()
    except sqlite3.Error as error:
        return Check(
            "mlflow", WARNING, f"MLflow's database {path} cannot be read: {error}",
            "Move it away, or restore it; the next run makes a new one.", where,
        )  # fmt: skip
    return Check("mlflow", OK, f"MLflow's database {path} can be read ({runs} runs)", "", where)
