"""What `clusterctl dashboard` serves to others: main.py, and what Streamlit's login leaves out.

A login that fails goes back to the start page, which then says so; cookies are for TLS only where people come by TLS;
what Streamlit tells or takes beside pages (counters, uploads, programs as visitors) is closed.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs

import streamlit as st
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.starlette import App

from clusterctl.dashboard import login

CORE = "/_stcore/"
OPEN = {f"{CORE}{name}" for name in ("health", "host-config", "stream")}
"""What pages need of Streamlit's own paths."""
SIGN_IN, USER_COOKIE = "/auth/login", b"_streamlit_user="
"""Streamlit's path that sends people to the provider, and its cookie that says who they are."""


class Door:
    """Middleware around Streamlit's own paths."""

    def __init__(self, app: ASGIApp, *, secure: bool) -> None:
        self.app, self.secure = app, secure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, complete the login's answers, or pass on."""
        path = scope.get("path", "")
        if path.startswith(CORE) and path not in OPEN:
            await Response(status_code=404)(scope, receive, send)
        elif path in {SIGN_IN, login.CALLBACK}:
            await self.app(scope, receive, lambda message: send(self._completed(scope, message)))
        else:
            await self.app(scope, receive, send)

    def _completed(self, scope: Scope, message: Message) -> Message:
        if message["type"] != "http.response.start":
            return message
        cookies = [value for name, value in message["headers"] if name == b"set-cookie"]
        failure = None
        if scope["path"] == SIGN_IN:
            failure = "unreachable" if message["status"] >= 400 else None
        elif parse_qs(scope["query_string"]).keys() & {b"code", b"error"}:  # else people come from logging out
            entered = any(cookie.startswith(USER_COOKIE) and b"Max-Age=0" not in cookie for cookie in cookies)
            failure = None if entered else "refused"
        replaced = {b"set-cookie", b"location"} if failure else {b"set-cookie"}
        headers = [(name, value) for name, value in message["headers"] if name not in replaced]
        headers += [(b"set-cookie", cookie + (b"; Secure" if self.secure else b"")) for cookie in cookies]
        if failure is None:
            return {**message, "headers": headers}
        return {**message, "status": 302, "headers": [*headers, (b"location", f"/?login={failure}".encode())]}


secrets = dict(st.secrets) if st.secrets.load_if_toml_exists() else {}
secure = str((secrets.get(login.SECTION) or {}).get("redirect_uri")).startswith("https:")
app = App(Path(__file__).with_name("main.py"), middleware=[Middleware(Door, secure=secure)])
