#!/real/dash
# Stands for every program: notes with what words and where it was started, then is the real one, or says nothing
# or `planted`. It needs nothing of its environment, which scripts may clear.
read -r place </rec/place
printf '%s\0' R $(($# + 1)) "$PWD" "$0" "$@" >>"$place/p$$"
name=${0##*/}
[ ! -x "/real/$name" ] || exec "/real/$name" "$@"
read -r mode </rec/mode
[ "$mode" = full ] || exit 0
echo planted
exit 1
