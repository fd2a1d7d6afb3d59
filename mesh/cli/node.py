"""`mesh node capture|process|collect`: run one node until its work is done or SIGTERM."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from mesh.choice import POST_S, PRE_S, choices_of
from mesh.cli.log import set_up
from mesh.cli.options import (
    Durability,
    Forward,
    ForwardSecrets,
    Insecure,
    KeepDays,
    KeepFree,
    KeepGb,
    KeepOwn,
    LogJson,
    LogLevel,
    MaxAge,
    Metrics,
    PostRoll,
    PreRoll,
    RecordWhat,
    RegistryUrl,
    read_size,
    state_folder,
)
from mesh.cli.pointing import registry_url, telling
from mesh.codec import DEFAULT_QUALITY
from mesh.errors import ConfigError
from mesh.inbox import DEFAULT_DEPTH, Policy
from mesh.names import check_name
from mesh.recordings.limits import keep_of
from mesh.views import AUTO, check_view
from mesh.wire import View

app = typer.Typer(help="Run a node: capture, process or collect.", no_args_is_help=True)

Name = Annotated[str | None, typer.Option(metavar="NAME", help="The node's name; made up where not given.")]
Bind = Annotated[str, typer.Option(metavar="HOST", help="The address to listen on; 0.0.0.0 is all of them.")]
Advertise = Annotated[
    str | None, typer.Option(metavar="HOST", help="The address that others should connect to.")
]
RegistryWait = Annotated[
    float, typer.Option(metavar="SECONDS", min=0.1, help="How long to wait for the registry at the start.")
]
Drain = Annotated[
    float, typer.Option(metavar="SECONDS", min=0, help="How long draining may take at the end.")
]
Lease = Annotated[
    float,
    typer.Option(
        metavar="SECONDS",
        min=0.5,
        help="How long the registry keeps a node that it no longer hears of; then others take over its work.",
    ),
]
Label = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=VALUE", help="What this node is or has, for work that is pinned to such."),
]
Weight = Annotated[
    float,
    typer.Option(metavar="N", min=0, help="This node's share of the work, beside that of its peers."),
]
Quality = Annotated[int, typer.Option(min=1, max=100, help="JPEG quality of what is encoded here.")]


@app.command()
def capture(
    camera: Annotated[
        list[str] | None, typer.Option(metavar="NAME=URL", help="A camera; once for each.")
    ] = None,
    fps: Annotated[float | None, typer.Option(min=0.001, help="Frames per second, at most.")] = None,
    size: Annotated[str | None, typer.Option(metavar="WxH", help="Scale to so many pixels.")] = None,
    quality: Quality = DEFAULT_QUALITY,
    loop: Annotated[bool, typer.Option("--loop", help="Begin a file again at its end.")] = False,
    pace: Annotated[
        str, typer.Option(metavar="realtime|max", help="How fast a file is read; max waits for a subscriber.")
    ] = "realtime",
    speed: Annotated[
        float, typer.Option(metavar="N", min=0.01, help="Read a file, or a recording, N times as fast.")
    ] = 1.0,
    stage: Annotated[
        str, typer.Option(metavar="NAME", help="The stage to publish: for a replay, so as to tell it apart.")
    ] = "raw",
    frames: Annotated[int | None, typer.Option(min=1, help="End each camera after so many frames.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0, help="End each camera after so long.")] = None,
    lossless: Annotated[
        bool, typer.Option("--lossless", help="Wait for the consumers: no frame of a file is dropped.")
    ] = False,
    stall: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, help="Open a camera anew that is silent for so long.")
    ] = 10.0,
    hwaccel: Annotated[
        str,
        typer.Option(
            metavar="none|auto|KIND",
            help="Decode H.264 and H.265 in hardware: auto where there is a device, or cuda, vaapi, …",
        ),
    ] = "none",
    give_up: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=0, help="A camera that never opened for so long has failed."),
    ] = 30.0,
    partitions: Annotated[
        int,
        typer.Option(
            min=1, max=64, help="Spread each camera's frames over so many, for nodes of a group to share."
        ),
    ] = 1,
    secrets: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="NAME=value lines for {NAME} in the URLs of configured cameras; else the environment.",
        ),
    ] = None,
    registry: RegistryUrl = None,
    name: Name = None,
    bind: Bind = "127.0.0.1",
    advertise: Advertise = None,
    insecure: Insecure = False,
    registry_wait: RegistryWait = 10.0,
    drain: Drain = 10.0,
    lease: Lease = 1.5,
    label: Label = None,
    metrics: Metrics = None,
    weight: Weight = 1.0,
    log_level: LogLevel = "info",
    log_json: LogJson = False,
) -> None:
    """Read cameras and publish their frames: those given with --camera, or without any a share of those that
    `mesh camera add` has configured.

    A camera's URL is a video file, rtsp://…, http://… (MJPEG and more), device:N, images:DIR,
    synthetic:?size=640x480&fps=30&objects=3&seed=1, recording:DIR?camera=door&from=-2h, or opencv:EXPRESSION.
    """
    set_up(log_level, log_json)
    from nodes.capture.camera import CameraConfig, Pace
    from nodes.capture.fleet import Fleet
    from nodes.capture.node import Capture
    from nodes.node import Node, NodeConfig
    from nodes.secrets import Secrets

    if pace not in set(Pace):
        raise ConfigError(f"--pace {pace!r} is none: use {' or '.join(Pace)}")
    options = CameraConfig(
        name="",
        url="",
        fps=fps,
        size=read_size(size),
        quality=quality,
        loop=loop,
        pace=Pace(pace),
        frames=frames,
        seconds=seconds,
        lossless=lossless,
        stall_s=stall,
        hwaccel=hwaccel,
        give_up_s=give_up,
        partitions=partitions,
        speed=speed,
        stage=check_name("stage", stage),
    )
    cameras = [replace(options, name=camera_name, url=url) for camera_name, url in map(_camera, camera or [])]
    if not cameras and options != CameraConfig(name="", url=""):
        raise ConfigError(
            "--fps and its like go with --camera; `mesh camera set` changes those of configured ones"
        )
    if cameras and secrets:
        raise ConfigError("--secrets is for configured cameras: leave out --camera, or write the URL in full")
    work = Capture(cameras) if cameras else Fleet(Secrets(secrets))
    config = NodeConfig(
        registry=registry_url(registry),
        name=name,
        bind=bind,
        advertise=advertise,
        insecure=insecure,
        registry_wait_s=registry_wait,
        drain_s=drain,
        lease_s=lease,
        labels=_labels(label),
        metrics=metrics,
        weight=weight,
    )
    with telling(registry):
        raise typer.Exit(Node(work, config).run())


@app.command()
def process(
    processors: Annotated[
        list[str],
        typer.Argument(
            metavar="PROCESSOR[:option=value,…]…", help="motion, codes, passthrough or module:Class."
        ),
    ],
    input_stage: Annotated[
        str, typer.Option("--input", metavar="STAGE", help="The stage to take in.")
    ] = "raw",
    stage: Annotated[str | None, typer.Option(metavar="NAME", help="The stage to publish.")] = None,
    group: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Nodes of one group share the work; each group gets every frame. Else named as the stage.",
        ),
    ] = None,
    policy: Annotated[
        str, typer.Option(metavar="latest|fifo", help="Each camera's freshest frame, or a queue.")
    ] = "latest",
    depth: Annotated[
        int, typer.Option(min=1, help="The queue's length, in frames a camera.")
    ] = DEFAULT_DEPTH,
    max_age: MaxAge = None,
    view: Annotated[
        str,
        typer.Option(
            metavar="auto|frame|shm",
            help="How frames are taken in: encoded, or as pixels in shared memory from nodes on this host; "
            "auto is shm where it can be had and nothing is pushed.",
        ),
    ] = "auto",
    workers: Annotated[int, typer.Option(min=1, help="Cameras that are worked on at the same time.")] = 1,
    push: Annotated[bool, typer.Option(help="Push results to collectors.")] = True,
    window_mb: Annotated[
        float, typer.Option(metavar="MB", min=0.1, help="Results that wait in memory for a collector.")
    ] = 64.0,
    spool: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where more of them wait, and those of a node that ends; "
            "else framemesh/spool under XDG_STATE_HOME or ~/.local/state.",
        ),
    ] = None,
    spool_mb: Annotated[
        float, typer.Option(metavar="MB", min=0, help="How large the spool grows; 0 is no spool.")
    ] = 1024.0,
    quality: Quality = DEFAULT_QUALITY,
    registry: RegistryUrl = None,
    name: Name = None,
    bind: Bind = "127.0.0.1",
    advertise: Advertise = None,
    insecure: Insecure = False,
    registry_wait: RegistryWait = 10.0,
    drain: Drain = 10.0,
    lease: Lease = 1.5,
    label: Label = None,
    metrics: Metrics = None,
    weight: Annotated[
        float,
        typer.Option(
            metavar="N",
            min=0,
            help="This node's share of the work, beside that of its peers; 0 is as it was measured.",
        ),
    ] = 0.0,
    log_level: LogLevel = "info",
    log_json: LogJson = False,
) -> None:
    """Run processors over the frames of a stage, publish what they make, and push it to the collectors.

    Options follow a processor's name: motion:sensitivity=0.7,min_area=0.001
    """
    set_up(log_level, log_json)
    from nodes.node import Node, NodeConfig
    from nodes.process.node import Process, ProcessConfig

    if view not in (AUTO, View.FRAME, View.SHM):
        raise ConfigError(f"--view {view!r} is none: use auto, frame or shm")
    if policy not in (Policy.LATEST, Policy.FIFO):
        raise ConfigError(f"--policy {policy!r} is none: use latest or fifo (lossless is chosen at capture)")
    work = Process(
        ProcessConfig(
            processors=tuple(processors),
            input=input_stage,
            stage=stage,
            group=group,
            policy=Policy(policy),
            depth=depth,
            max_age_s=max_age,
            view=check_view(view),
            workers=workers,
            push=push,
            quality=quality,
            window_bytes=int(window_mb * 1e6),
            spool=spool or state_folder("spool"),
            spool_bytes=int(spool_mb * 1e6),
        )
    )
    config = NodeConfig(
        registry=registry_url(registry),
        name=name,
        bind=bind,
        advertise=advertise,
        insecure=insecure,
        registry_wait_s=registry_wait,
        drain_s=drain,
        lease_s=lease,
        labels=_labels(label),
        metrics=metrics,
        weight=weight,
    )
    with telling(registry):
        raise typer.Exit(Node(work, config).run())


@app.command()
def collect(
    into: Annotated[Path, typer.Option(metavar="DIR", help="The folder to record to.")],
    input_stage: Annotated[
        list[str] | None, typer.Option("--input", metavar="STAGE", help="A whole stage to record, too.")
    ] = None,
    segment: Annotated[
        float, typer.Option(metavar="SECONDS", min=1, help="How much one recorded file holds.")
    ] = 60.0,
    segment_mb: Annotated[
        float | None, typer.Option(metavar="MB", min=0.1, help="How large one recorded file grows.")
    ] = None,
    commit_ms: Annotated[
        float | None,
        typer.Option(
            metavar="MS",
            min=0,
            help="How long results wait at most until they are safe on the disk and acknowledged; "
            "more spares a slow disk. 200 unless given.",
        ),
    ] = None,
    commit_frames: Annotated[
        int | None,
        typer.Option(min=1, help="How many results wait for that at most, all cameras together: 256."),
    ] = None,
    durability: Durability = None,
    keep_days: KeepDays = None,
    keep_gb: KeepGb = None,
    keep_free: KeepFree = None,
    keep: KeepOwn = None,
    forward: Forward = None,
    secrets: ForwardSecrets = None,
    record: RecordWhat = None,
    pre_roll: PreRoll = PRE_S,
    post_roll: PostRoll = POST_S,
    registry: RegistryUrl = None,
    name: Name = None,
    bind: Bind = "127.0.0.1",
    advertise: Advertise = None,
    insecure: Insecure = False,
    registry_wait: RegistryWait = 10.0,
    drain: Drain = 10.0,
    lease: Lease = 1.5,
    label: Label = None,
    metrics: Metrics = None,
    log_level: LogLevel = "info",
    log_json: LogJson = False,
) -> None:
    """Record what process nodes push, and whole stages where asked, and publish it again.

    Under DIR each camera has a folder, with a Matroska file and a .jsonl (a line a frame) for each segment.
    With --keep… the oldest are removed; never one that has a file STEM.lock beside it. With --forward it goes
    elsewhere, too; while that is not reached it waits in DIR, and is sent later.
    """
    set_up(log_level, log_json)
    from nodes.collect.commits import policy_of
    from nodes.collect.forwarding.destinations import destinations
    from nodes.collect.node import Collect, CollectConfig
    from nodes.node import Node, NodeConfig
    from nodes.secrets import Secrets

    limit = int(segment_mb * 1e6) if segment_mb else None
    work = Collect(
        CollectConfig(
            into,
            tuple(input_stage or ()),
            segment,
            limit,
            policy_of(durability, commit_ms, commit_frames, segment),
            keep_of(keep_days, keep_gb, keep_free, keep or ()),
            destinations(forward or (), Secrets(secrets).read()),
            choices_of(record or (), pre_roll, post_roll),
        )
    )
    config = NodeConfig(
        registry=registry_url(registry),
        name=name,
        bind=bind,
        advertise=advertise,
        insecure=insecure,
        registry_wait_s=registry_wait,
        drain_s=drain,
        lease_s=lease,
        labels=_labels(label),
        metrics=metrics,
    )
    with telling(registry):
        raise typer.Exit(Node(work, config).run())


def _camera(text: str) -> tuple[str, str]:
    name, equals, url = text.partition("=")
    if not equals or not url:
        from nodes.redact import redact

        raise ConfigError(f"--camera {redact(text)!r} is not NAME=URL, such as door=rtsp://192.0.2.7/stream")
    return name, url


def _labels(texts: list[str] | None) -> dict[str, str]:
    labels = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"--label {text!r} is not NAME=VALUE, such as site=gate")
        labels[check_name("label", name)] = check_name("a label's value", value)
    return labels
