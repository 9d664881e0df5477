"""The dashboard: what is looked at, the pages, and what every page shows above itself."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import streamlit as st

from app import data, ui
from app.view import WINDOWS, Data, View
from clusterctl.access import is_loopback
from clusterctl.dashboard import login
from clusterctl.errors import ClusterctlError, SpecError


def guard() -> bool:
    """Whoever is not on this machine logs in, however Streamlit was started; whether somebody has."""
    if is_loopback(st.get_option("server.address")):
        return False
    secrets = dict(st.secrets) if st.secrets.load_if_toml_exists() else {}
    lacking = login.missing(secrets)
    if lacking:
        st.error(
            f"This dashboard is open to others and has no login: {', '.join(lacking)} is missing. "
            "Start it with `clusterctl dashboard`."
        )
        st.stop()
    if not st.user.is_logged_in:
        failure = ui.LABELS["login_failures"].get(st.query_params.get("login", ""))
        if failure:
            st.error(f"{failure} `dashboard.log` in the dashboard's folder says why.")
        for name in login.providers(secrets[login.SECTION]):
            st.button(
                f"Log in{'' if name is None else f' with {name}'}", on_click=st.login, args=(name,), type="primary"
            )
        st.stop()
    if not login.may_enter(dict(st.user), secrets):
        who = ui.md(st.user.get("email") or "without an address")
        st.error(
            f"The account {who} may not see this dashboard: its address is not on the list ([clusterctl] "
            "allowed_emails), or the provider did not verify it."
        )
        st.button("Log out", on_click=st.logout)
        st.stop()
    return True


def choose() -> None:
    """What is looked at, from the sidebar or the address; kept for the page."""
    with st.sidebar:
        chosen = st.segmented_control(
            "Data",
            ["live", "simulated"],
            default="live",
            required=True,
            **ui.kept("data"),
            help="Your own runs, or a recorded day of a simulated 64-GPU run.",
        )
        where: Data = "simulated" if chosen == "simulated" else "live"
        ids, count = [run.run_id for run in data.runs(where)], data.run_count(where)
        more = f" Listed: the {len(ids)} newest of {count:,}." if count > len(ids) else ""
        run = st.selectbox(
            "Run",
            [data.NEWEST, data.ALL_RUNS, *ids],
            **ui.kept("run"),
            accept_new_options=True,
            help=f"Type the beginning of any other id.{more}",
        )
        window = st.selectbox(
            "Window",
            list(WINDOWS),
            index=list(WINDOWS).index("24h"),
            **ui.kept("window"),
            help="Back from now, or from the end of the run.",
        )
    st.session_state["choice"] = (where, run or data.NEWEST, window or "24h")
    try:
        data.current()
    except SpecError as error:
        ui.problem(error.message, error.hint)
        st.session_state["choice"] = (where, data.NEWEST, window or "24h")


def header(view: View, title: str) -> None:
    """Which run, which window, and whether anything of it is real."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.header(title, anchor=False, width="content")
        if view.simulated:
            st.badge(
                "Simulated",
                icon=":material/science:",
                color="orange",
                help="A recorded day of a simulated run; its plan and its prices are real.",
            )
        name = "all runs" if view.run is None else view.run.run_id
        state = "" if view.run is None else f" ({view.run.state})"
        st.caption(f"{ui.md(name)}{state} · {ui.window_text(view.start, view.end)}", width="content")


def main() -> None:
    st.set_page_config(
        page_title="clusterctl",
        page_icon=str(Path(__file__).with_name("icon.svg")),
        layout="wide",
        menu_items={"about": "clusterctl: what a run takes, what it costs, and how sure that is."},
    )
    has_logged_in = guard()
    pages = [
        st.Page(f"views/{name}.py", title=title, icon=icon, url_path=name, default=name == "overview")
        for name, (title, icon) in ui.LABELS["pages"].items()
    ]
    page = st.navigation(pages)
    try:
        choose()
    except ClusterctlError as error:
        ui.problem(error.message, error.hint)
        st.stop()
    if has_logged_in:
        st.sidebar.button("Log out", on_click=st.logout, help=ui.md(st.user.get("email")))
    ui.live(partial(header, title=page.title))
    page.run()


main()
