"""``nahtlos portal key`` and ``nahtlos operator key``: keys are shown once and kept as a hash."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.cli.commands import Commands
from gateway.cli.connection import connected
from gateway.cli.output import Json, local, out, plain, show, table

portal = typer.Typer(cls=Commands, no_args_is_help=True, help="Portale. / Portals.")
operator = typer.Typer(cls=Commands, no_args_is_help=True, help="Bedienstete. / Operators.")
portal_key = typer.Typer(cls=Commands, no_args_is_help=True, help="Schlüssel der Portale. / Portals' keys.")
operator_key = typer.Typer(cls=Commands, no_args_is_help=True, help="Schlüssel der Bediensteten. / Operators' keys.")
portal.add_typer(portal_key, name="key")
operator.add_typer(operator_key, name="key")

Reason = Annotated[str, typer.Option("--reason", "-r", help="Warum; steht im Protokoll.")]
_KINDS = {"portal-key": "Portal", "portal-certificate": "Portal, Zertifikat", "operator-key": "Betrieb"}
KeyId = Annotated[str, typer.Argument(metavar="KENNUNG")]


@portal_key.command("new")
def new_portal_key(
    name: Annotated[str, typer.Argument(metavar="PORTAL", help="Name aus nahtlos.toml.")],
    leistung: Annotated[list[str] | None, typer.Option("--leistung", "-l", help="Nur diese Leistungen.")] = None,
    reason: Reason = "Schlüssel ausgegeben",
    json: bool = Json,
) -> None:
    """Einen Schlüssel ausgeben; er wird nur jetzt gezeigt. / Make a key; it is shown only now."""
    _new({"holder": name, "kind": "portal-key", "scope": leistung or ["*"], "reason": reason})


@operator_key.command("new")
def new_operator_key(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    role: Annotated[
        list[str] | None, typer.Option("--role", help="viewer, operator, admin, auditor; auch rolle@verwaltung.")
    ] = None,
    reason: Reason = "Schlüssel ausgegeben",
    json: bool = Json,
) -> None:
    """Einen Schlüssel für Bedienstete ausgeben. / Make an operator's key."""
    _new({"holder": name, "kind": "operator-key", "scope": role or ["operator"], "reason": reason})


@portal_key.command("list")
@operator_key.command("list")
def listed(json: bool = Json) -> None:
    """Ausgegebene Schlüssel, ohne ihr Geheimnis. / Keys, without their secret."""
    with connected() as gateway:
        found = gateway.get("/v1/keys")
    show(
        found,
        lambda: table(
            ("Kennung", "Inhaber", "Art", "Umfang", "ausgegeben", "gültig bis", "gesperrt", "zuletzt benutzt"),
            (
                (
                    k["id"],
                    k["holder"],
                    _KINDS.get(k["kind"], k["kind"]),
                    " ".join(k["scope"]),
                    local(k["created_at"]),
                    local(k["expires_at"]),
                    local(k["revoked_at"]),
                    k["last_used_on"],
                )
                for k in found["keys"]
            ),
            whole=("Kennung", "Inhaber", "ausgegeben", "gültig bis", "gesperrt", "zuletzt benutzt"),
            empty="Noch kein Schlüssel ausgegeben.",
        ),
    )


@portal_key.command("revoke")
@operator_key.command("revoke")
def revoke(key: KeyId, reason: Reason = "gesperrt", json: bool = Json) -> None:
    """Sofort sperren. / Revoke at once."""
    with connected() as gateway:
        after = gateway.post(f"/v1/keys/{key}/revoke", {"reason": reason})
    show(after, lambda: out.print(f"[green]✓[/] {plain(key)} ist gesperrt"))


def _new(order: dict[str, Any]) -> None:
    with connected() as gateway:
        made = gateway.post("/v1/keys", order)
    show(made, lambda: _print(made))


def _print(made: dict[str, Any]) -> None:
    out.print(f"[green]✓[/] Schlüssel für {plain(made['holder'])}, gültig bis {local(made['expires_at'])}:")
    out.print(f"\n  [bold]{plain(made['key'])}[/]\n")
    out.print("  Er wird nur dieses eine Mal gezeigt. / It is shown only this once.", style="dim")
