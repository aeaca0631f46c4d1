#!/usr/bin/env bash
# Records real programs on a 1920x1080 screen of its own, for `cargo bench -p uketsuke-proto --bench screen -- DIR`.
#
# usage: record.sh DIR [CLIP...]      clips: scroll type drag mixed (default: all)
#
# Needs: xvfb openbox xdotool mousepad xterm x11-utils zstd and fonts-dejavu.
# Each clip becomes DIR/CLIP.zst: 15 pictures a second, each the X server's frame buffer file (XWD: a header and
# rows of BGRX) as one zstd frame. A picture that took longer than its turn is simply late; the bench counts pictures.
set -euo pipefail

out=$(mkdir -p "$1" && cd "$1" && pwd)
shift
clips=("$@")
[ ${#clips[@]} -gt 0 ] || clips=(scroll type drag mixed)
work=$(mktemp -d)
export DISPLAY=:$((200 + RANDOM % 700)) HOME=$work XDG_CONFIG_HOME=$work GTK_THEME=Adwaita NO_AT_BRIDGE=1
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$work"' EXIT

# A long document in plain words; every line differs.
awk 'BEGIN {
  srand(7)
  n = split("the system reads each line of a file and writes what changed into the window that shows it while other programs wait for their turn because memory is short and the disk is slow when many users work at once through one small network with old cables", w, " ")
  for (line = 1; line <= 900; line++) {
    s = sprintf("%3d  ", line)
    if (line % 17 == 0) s = s "## "
    while (length(s) < 60 + rand() * 90) s = s w[int(rand() * n) + 1] (rand() < .1 ? ", " : " ")
    print (line % 11 == 0) ? "" : s
  }
}' >"$work/document.txt"
printf 'int main(void)\n{\n    return 0;\n}\n' >"$work/program.c"

Xvfb "$DISPLAY" -screen 0 1920x1080x24 -fbdir "$work" -noreset >/dev/null 2>&1 &
pids+=($!)
until xdpyinfo >/dev/null 2>&1; do sleep 0.1; done
openbox >/dev/null 2>&1 &
pids+=($!)
xsetroot -solid '#35618e' 2>/dev/null || true

editor() { # NAME FILE X Y WIDTH HEIGHT
    mousepad --disable-server "$2" >/dev/null 2>&1 &
    pids+=($!)
    local id
    id=$(xdotool search --sync --onlyvisible --pid $! | tail -1)
    xdotool windowactivate --sync "$id" windowmove --sync "$id" "$3" "$4" windowsize --sync "$id" "$5" "$6"
    sleep 1
    declare -g "$1=$id"
}

record() { # CLIP SECONDS: runs until the time is over, 15 pictures a second
    local end=$((SECONDS + $2)) next now
    : >"$work/clip"
    next=$(date +%s%N)
    while [ "$SECONDS" -lt "$end" ]; do
        zstd -q -1 -c --single-thread "$work/Xvfb_screen0" >>"$work/clip"
        next=$((next + 66666667))
        now=$(date +%s%N)
        [ "$now" -ge "$next" ] || sleep "$(printf '0.%09d' $((next - now)))"
    done
    mv "$work/clip" "$out/$1.zst"
}

play_scroll() {
    xdotool mousemove 900 600
    sleep 0.5
    xdotool click --repeat 12 --delay 120 5; sleep 0.5
    xdotool click --repeat 10 --delay 70 5; sleep 0.5
    xdotool click --repeat 8 --delay 100 4; sleep 0.4
    for _ in 1 2 3; do xdotool key Next; sleep 0.5; done
}

play_type() {
    sleep 0.5
    xdotool type --delay 90 'The quick brown fox jumps over the lazy dog while a customer waits; nobody likes waiting for letters.'
    xdotool mousemove 900 212 mousedown 1
    for i in $(seq 1 12); do xdotool mousemove_relative -- 9 7; sleep 0.03; done
    xdotool mouseup 1
}

play_drag() {
    xdotool mousemove 700 212 mousedown 1
    for i in $(seq 1 210); do
        if [ $((i / 35 % 2)) -eq 0 ]; then xdotool mousemove_relative -- 9 5; else xdotool mousemove_relative -- -9 -4; fi
        sleep 0.025
    done
    xdotool mouseup 1
}

play_mixed() {
    xdotool key ctrl+o; sleep 1; xdotool key Escape; sleep 0.4
    xdotool mousemove 900 600 click --repeat 4 --delay 90 5; sleep 0.3
    xdotool windowactivate "$small"; sleep 0.6
    xdotool key alt+f; sleep 0.5; xdotool key Right Right; sleep 0.5; xdotool key Escape Escape; sleep 0.3
    xdotool windowactivate "$big"; sleep 0.5
    xdotool mousemove 300 400 mousedown 1
    for i in $(seq 1 25); do xdotool mousemove_relative -- 20 6; sleep 0.03; done
    xdotool mouseup 1; sleep 0.3
    xdotool click 3; sleep 0.6; xdotool key Escape; sleep 0.3
    xdotool key ctrl+f; sleep 0.6; xdotool type --delay 80 'network'; sleep 0.5; xdotool key Escape
}

editor big "$work/document.txt" 0 0 1916 1050
for clip in "${clips[@]}"; do
    case $clip in
    scroll) seconds=9 ;;
    type) seconds=13 ;;
    drag) seconds=10 ;;
    mixed) seconds=11 ;;
    *) echo "no such clip: $clip" >&2; exit 64 ;;
    esac
    if [ "$clip" != scroll ] && [ -z "${small:-}" ]; then
        editor small "$work/program.c" 300 200 900 520
    fi
    case $clip in
    scroll) xdotool windowactivate --sync "$big" ;;
    *) xdotool windowmove --sync "$small" 300 200 windowactivate --sync "$small" ;;
    esac
    sleep 1
    record "$clip" "$seconds" &
    recorder=$!
    sleep 0.5
    "play_$clip"
    wait "$recorder"
done
