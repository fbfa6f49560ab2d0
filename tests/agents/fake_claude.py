"""A fake Claude Code: speaks its stream of JSON, and misbehaves where a prompt says so.

A prompt may be a word and what belongs to it, as ``DIE``, ``HANG``, ``GARBAGE 200``, ``ERROR 429``:
each ``do_`` below is one. Others are echoed.
``--old`` makes it an older one that knows no control requests, ``--sticky`` one whose ``/clear``
clears nothing, and ``--dead`` one that ends at once.
"""

import json
import os
import signal
import subprocess
import sys
import time
import uuid

ARGS = sys.argv[1:]
WARM = "--input-format" in ARGS


def out(**message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


class Fake:
    def __init__(self):
        self.session = str(uuid.uuid4())
        self.cost = 0.0
        self.history = []
        self.number = 0
        self.held = []

    def read(self):
        if self.held:
            return self.held.pop(0)
        line = sys.stdin.readline()
        if not line:
            sys.exit(0)
        return json.loads(line)

    def result(self, text, **more):
        used = {"input_tokens": 100, "output_tokens": 5, "cache_read_input_tokens": 20}
        body = {"type": "result", "subtype": "success", "is_error": False, "result": text}
        body |= {"session_id": self.session, "total_cost_usd": self.cost, "usage": used}
        out(**(body | more))

    def stream(self, **event):
        out(type="stream_event", event=event, session_id=self.session, parent_tool_use_id=None)

    def answer(self, text):
        self.cost += 0.25
        self.stream(type="message_start", message={"usage": {"input_tokens": 100}})
        self.stream(type="content_block_delta", delta={"type": "text_delta", "text": text})
        self.stream(type="message_delta", usage={"output_tokens": 5})
        self.result(text)

    def tool(self, name, given):
        block = {"type": "tool_use", "id": "t", "name": name, "input": given}
        out(type="assistant", message={"content": [block]}, session_id=self.session)

    def ask(self, given):
        self.number += 1
        name = f"ask-{self.number}"
        request = {"subtype": "can_use_tool", "tool_name": "Bash", "input": given}
        out(type="control_request", request_id=name, request=request)
        while True:
            message = self.read()
            if message["type"] == "control_response":
                return message["response"]["response"]["behavior"]
            self.held.append(message)

    def prompt(self, text):
        word, _, rest = text.partition(" ")
        known = getattr(self, "do_" + word.lower(), None) if word.isupper() else None
        self.history.append(text)
        if known is None:
            self.answer(text)
        else:
            known(rest)

    def do_die(self, rest):
        print("it hurts", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

    def do_exit(self, rest):
        print("Error: no more", file=sys.stderr, flush=True)
        sys.exit(3)

    def do_hang(self, rest):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self.stream(type="content_block_delta", delta={"text": "hanging"})
        while True:
            time.sleep(60)

    def do_slow(self, rest):
        """Works until it is interrupted."""
        self.stream(type="message_start", message={"usage": {"input_tokens": 100}})
        self.stream(type="content_block_delta", delta={"text": "slowly"})
        while True:
            message = self.read()
            if message.get("request", {}).get("subtype") == "interrupt":
                out(type="control_response", response={"request_id": message["request_id"]})
                self.result(None, subtype="error_during_execution", is_error=True)
                return

    def do_garbage(self, rest):
        for i in range(int(rest or 1000)):
            print(f"warning: no JSON {i}")
        self.answer("after garbage")

    def do_flood(self, rest):
        """Writes a gigabyte, in lines that are JSON."""
        line = (json.dumps({"type": "system", "pad": "x" * 60_000}) + "\n").encode()
        sys.stdout.flush()
        for _ in range(10**9 // len(line)):
            os.write(1, line)
        self.answer("flooded")

    def do_line(self, rest):
        """Writes a gigabyte without any end of line."""
        for _ in range(1_000):
            os.write(1, b"x" * 1_000_000)

    def do_stderr(self, rest):
        for _ in range(int(rest)):
            os.write(2, b"y" * 1_000_000)
        self.answer("after noise")

    def do_error(self, rest):
        self.result(f"API Error: {rest}", is_error=True, api_error_status=int(rest))

    def do_ask(self, rest):
        self.tool("Bash", {"command": rest})
        self.answer(self.ask({"command": rest}))

    def do_denied(self, rest):
        """Says what it has not done, as it does where it can ask nobody."""
        denied = {"tool_name": "Write", "tool_use_id": "t", "tool_input": {"file_path": rest}}
        self.result("not done", permission_denials=[denied])

    def do_write(self, rest):
        name, _, text = rest.partition(" ")
        with open(name, "a") as file:
            file.write(text + "\n")
        self.answer(f"wrote {name}")

    def do_list(self, rest):
        self.answer(",".join(sorted(os.listdir("."))))

    def do_pwd(self, rest):
        self.answer(os.getcwd())

    def do_env(self, rest):
        self.answer(json.dumps(dict(os.environ)))

    def do_argv(self, rest):
        self.answer(json.dumps(ARGS))

    def do_child(self, rest):
        """Begins a process in a session of its own, as tools are, and goes on."""
        child = subprocess.Popen(["sleep", "600"], start_new_session=True, stdout=2)
        self.answer(str(child.pid))

    def do_leave(self, rest):
        """Begins a process in its own group, which holds no pipe, and ends."""
        none = subprocess.DEVNULL
        child = subprocess.Popen(["sleep", "600"], stdin=none, stdout=none, stderr=none)
        with open(rest, "w") as file:
            file.write(str(child.pid))
        os._exit(3)

    def do_history(self, rest):
        self.answer(json.dumps(self.history))

    def clear(self):
        self.history.clear()
        if "--sticky" not in ARGS:
            self.session = str(uuid.uuid4())
        self.result("")

    def serve(self):
        while True:
            message = self.read()
            if message["type"] == "control_request":
                out(
                    type="control_response",
                    response={"subtype": "success", "request_id": message["request_id"]},
                )
            elif message["type"] == "user":
                text = message["message"]["content"]
                if text == "/clear":
                    self.clear()
                else:
                    self.prompt(text)


if __name__ == "__main__":
    if "--dead" in ARGS:
        sys.exit("Error: not today")
    if not WARM:
        Fake().prompt(sys.stdin.read())
    elif "--old" in ARGS:
        sys.exit("error: unknown option '--permission-prompt-tool'")
    else:
        Fake().serve()
