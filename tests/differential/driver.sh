#!/real/bash
# Process 1 of the container: runs each script of /scripts twice, once with programs that do nothing and once with
# programs that print a word and fail, and prints what was noted, all of it ended by NUL.
# usage: driver SECONDS
export PATH=/nowhere
exec 8<>/rec/wait || exit
note_missing='() { builtin printf "%s\0" N $# "$PWD" "$@" >>"/rec/p$BASHPID"; return 127; }'
trace=$'\x01'

others() {
    local all=(/proc/[0-9]*)
    ((${#all[@]} > 1))
}

run() {
    /real/tool.rm -rf /rec/p* /rec/trace /work/run
    /real/tool.mkdir -p /work/run/sub && cd /work/run || exit
    : >a.txt >"b c.txt" >sub/d.txt
    echo "$mode" >/rec/mode
    (
        ulimit -f 4096 -c 0
        exec /real/timeout -k 0.1 "$limit" /real/env -i HOME=/work/run USER=owner SHELL=/bin/bash LANG=C.UTF-8 TERM=dumb \
            PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
            SHELLOPTS=xtrace BASH_XTRACEFD=9 "PS4=$trace" "BASH_FUNC_command_not_found_handle%%=$note_missing" \
            /real/bash -c -- "$text" </dev/null >/dev/null 2>&1 8<&- 9>/rec/trace
    )
    local status=$?
    # What it left in the background may still start something.
    for _ in {1..20}; do
        others || break
        read -rt 0.01 -u 8
    done
    while others; do
        kill -9 -1 2>/dev/null
        read -rt 0.01 -u 8
    done
    printf '%s\0' S "$name" "$status"
    local notes=(/rec/p[0-9]*)
    ((${#notes[@]} == 0)) || /real/tool.cat "${notes[@]}"
    printf 'T\0'
    printf '%s\0' "$(</rec/trace)"
}

shopt -s nullglob
limit=$1
for script in /scripts/*; do
    name=${script##*/}
    IFS= read -rd '' text <"$script"
    if ! /real/bash -n -c -- "$text" </dev/null >/dev/null 2>&1; then
        printf '%s\0' X "$name"
        continue
    fi
    for mode in bare full; do run; done
done
printf 'E\0'
