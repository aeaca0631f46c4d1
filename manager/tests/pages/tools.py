"""The two tools without windows, driven by lines of JSON as any integration would drive them."""

import json
import queue
import subprocess
import threading
import time

from house import programs

PATIENCE_SECS = 60


class Tool:
    """A tool that runs. `said` keeps every event."""

    def __init__(self, house, name, arguments, env=None):
        self.name = name
        self.said = []
        self._events = queue.Queue()
        pipe = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": env or {}}
        self.process = house.start(name, arguments, **pipe)
        self._house = house
        threading.Thread(target=self._listen, name=name, daemon=True).start()

    def _listen(self):
        for line in self.process.stdout:
            self._events.put(json.loads(line))
        self._events.put(None)

    def give(self, **command):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def wait_for(self, *names, patience=PATIENCE_SECS):
        """The next event with one of these names; an error or the end instead is a failure."""
        deadline = time.monotonic() + patience
        while True:
            try:
                event = self._events.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"{self.name}: no {names} in {patience} s, but {self.said[-5:]}") from None
            if event is None:
                raise AssertionError(f"{self.name} ended before {names}:\n{self._house.log(self.name)[-3000:]}")
            self.said.append(event)
            if event["event"] in names:
                return event
            assert event["event"] not in ("error", "ended"), f"{self.name} said {event} before {names}"

    def ask(self, command, answer, **fields):
        self.give(do=command, **fields)
        return self.wait_for(answer)

    def close(self):
        """Lets it end by itself, as the end of its input asks it to."""
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.process.terminate()
                self.process.wait(timeout=10)


def operator(house, company, user, password, code=None, name="operator", at=0):
    """An operator tool that is logged in."""
    arguments = [programs() / "uketsuke-operator", "headless", "--manager", house.address(at), "--ca", house.ca,
                 "--company", company, "--user", user]
    if code:
        arguments += ["--code", code]
    tool = Tool(house, name, arguments, env={"UKETSUKE_PASSWORD": password})
    tool.wait_for("ready")
    return tool


def client(house, number, grant="view,control,device", share=("--synthetic", "1280x800"), name="client", at=0):
    """A client tool for this number that grants what it is asked for."""
    arguments = [programs() / "uketsuke-client", "headless", "--manager", house.address(at), "--ca", house.ca,
                 "--number", number, "--grant", grant, *share]
    return Tool(house, name, arguments)


def desktop(house):
    """A customer's desktop in memory; its name for `client`."""
    process = house.start("xvfb", ["Xvfb", "-displayfd", "1", "-nolisten", "tcp", "-noreset", "-screen", "0", "800x600x24"],
                          stdout=subprocess.PIPE, text=True)
    return f":{process.stdout.readline().strip()}"
