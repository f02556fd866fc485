#!/real/bash
# Process 1 of the container: runs each script of /scripts twice, once with programs that do nothing and once with
# programs that print a word and fail, and prints what was noted, all of it ended by NUL.
# usage: driver SECONDS
export PATH=/nowhere
exec 8<>/rec/wait || exit
note_missing='() { builtin printf "%s\0" N $# "$PWD" "$@" >>"$(</rec/place)/p$BASHPID"; return 127; }'
trace=$'\x01'

others() {
    local all=(/proc/[0-9]*)
    ((${#all[@]} > 1))
}

# No program is started here but the script: that would double what a run takes.
run() {
    local notes=/rec/$name.$mode fields status file
    cd "/work/$name.$mode" || exit
    : >a.txt >"b c.txt" >sub/d.txt
    echo "$mode" >/rec/mode
    echo "$notes" >/rec/place
    (
        ulimit -f 4096 -c 0
        exec /real/timeout -k 0.1 "$limit" /real/env -i HOME="$PWD" USER=owner SHELL=/bin/bash LANG=C.UTF-8 TERM=dumb \
            PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
            SHELLOPTS=xtrace BASH_XTRACEFD=9 "PS4=$trace" "BASH_FUNC_command_not_found_handle%%=$note_missing" \
            /real/bash -c -- "$text" </dev/null >/dev/null 2>&1 8<&- 9>"$notes/trace"
    )
    status=$?
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
    for file in "$notes"/p*; do
        mapfile -d '' fields <"$file"
        # One that was ended before it had noted anything has left nothing.
        ((${#fields[@]} == 0)) || printf '%s\0' "${fields[@]}"
    done
    printf '%s\0' T "$(<"$notes/trace")"
}

shopt -s nullglob
limit=$1
names=(/scripts/*)
names=("${names[@]##*/}")
for mode in bare full; do
    places=("${names[@]/%/.$mode}")
    /real/tool.mkdir -p "${places[@]/#//rec/}" "${places[@]/#//work/}" && cd /work && /real/tool.mkdir "${places[@]/%//sub}" || exit
done
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
