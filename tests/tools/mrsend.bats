#!/usr/bin/env bats
# mrsend and mrrecv without a VM: usage, addresses. With one: ../qemu.

load ../lib/env

setup() { cd "$BATS_TEST_TMPDIR"; }

refused() { # STATUS TEXT TOOL ARGUMENT...
	local status=$1 text=$2
	shift 2
	run "-$status" "$@"
	[ "${#lines[@]}" -le 2 ]
	[[ $output == "$1: "*"$text"* ]]
}

@test "mrsend: wrong usage" {
	refused 2 needed mrsend image
	refused 2 needed mrsend image unix:a more
	refused 2 "0 to 255" mrsend --channels=256 image unix:a
	refused 2 "--channels" mrsend --compress=zstd image unix:a
	refused 2 "--channels" mrsend --uuid=12345678-1234-1234-1234-123456789abc image unix:a
	for bad in 1234 12345678-1234-1234-1234-123456789abg 12345678-1234-1234-1234-123456789abcd; do
		refused 2 "--uuid takes" mrsend --channels=1 --uuid=$bad image unix:a
	done
	for bad in lzma zlib:10 zstd:21 zstd: none:1 zst zstd:x; do
		refused 2 "--compress takes" mrsend --channels=1 --compress=$bad image unix:a
	done
	refused 2 "1 to 86400" mrsend --timeout=0 image unix:a
	refused 2 "No such file" mrsend image unix:a
}

@test "mrrecv: wrong usage, addresses that are none" {
	refused 2 needed mrrecv unix:a
	refused 2 "1 to 86400" mrrecv --timeout=86401 unix:a image
	for uri in a unix: tcp:1 tcp:a:b tcp::65536 vsock:1 vsock:a:1 fd:x fd:; do
		refused 2 "is expected" mrrecv $uri image
	done
	refused 2 "Bad file descriptor" mrrecv fd:77 image
	refused 2 "at most 107" mrrecv "unix:$(printf %0108d 0)" image
	refused 2 "No such file" mrrecv unix:none/sock image
	refused 2 "cannot be both" mrrecv --capture=z unix:sock z
	refused 2 "durable is for --colo" mrrecv --durable unix:sock z
	refused 2 "cache is for --colo" mrrecv --cache=. unix:sock z
	refused 2 "history is for --colo" mrrecv --history=h unix:sock z
	refused 2 "needs IMAGE" mrrecv --colo --capture=c unix:sock
	refused 2 "keep is for --history" mrrecv --colo --keep=3 unix:sock z
	refused 2 "every is for --history" mrrecv --colo --every=3 unix:sock z
	refused 2 "1 or more" mrrecv --colo --history=h --keep=0 unix:sock z
	echo text >text
	refused 3 "not replaced" mrrecv --colo --history=h unix:sock text
	[ ! -e h ]
	for every in "" s -1 1.5s "1 s" 1d 99999999; do
		refused 2 "is not a time" mrrecv --colo --history=h \
			--every="$every" unix:sock z
	done
	[ ! -e h ]
	refused 2 "cannot make" mrrecv --colo --history=no/h unix:sock z
	mkdir kept
	mkfifo kept/main
	refused 2 'cannot open "main"' mrrecv --replay kept image
	echo precious >file
	refused 3 "neither empty nor an image" mrrecv unix:sock file
	[ "$(cat file)" = precious ]
	[ ! -e image ] && [ ! -e sock ]
}

# Connections that say that; then one byte of each is waited for.
say() { # BYTES...
	python3 -c 'import socket, sys
for text in sys.argv[1:]:
    s = socket.socket(socket.AF_UNIX)
    s.connect("sock")
    s.sendall(text.encode("latin1").decode("unicode_escape").encode("latin1"))
    try: s.recv(1)
    except OSError: pass' "$@"
}

@test "mrrecv: what is no migration is turned away, and the wait goes on" {
	mrrecv unix:sock image 2>says 3>&- &
	local pid=$! rc=0
	until [ -S sock ]; do kill -0 $pid; done
	say 'GET / HTTP/1.0\r\n\r\n' '\x16\x03\x01\x02\x00'
	grep "no migration: it begins with 0x47455420" says
	grep "begins with TLS" says
	say 'QEVM\x00\x00\x00\x02'
	wait $pid || rc=$?
	[ $rc = 2 ]
	grep "mrrecv: unix:sock: .*version" says
	[ "$(wc -l <says)" = 4 ]
	[ ! -e image ] && [ ! -e sock ]
}

@test "mrrecv: a socket of mode 0600; one that was left behind; one in use" {
	mrrecv -q unix:sock image 3>&- &
	local pid=$!
	until [ -S sock ]; do kill -0 $pid; done
	[ "$(stat -c %a sock)" = 600 ]
	refused 2 "in use" mrrecv unix:sock other
	kill -KILL $pid
	wait $pid || :
	[ -S sock ]
	mrrecv -q unix:sock image 3>&- &
	pid=$!
	until python3 -c 'import socket
socket.socket(socket.AF_UNIX).connect("sock")' 2>/dev/null; do
		kill -0 $pid
	done
	kill -TERM $pid
	wait $pid || :
	[ ! -e sock ] && [ ! -e image ]
	refused 2 "for 1 s" mrrecv -q --timeout=1 unix:sock image
}

# Somebody who listens at sock, and says who came.
listener() { # BACKLOG
	rm -f sock came
	python3 -c 'import socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind("sock")
listener.listen(int(sys.argv[1]))
if sys.argv[1] == "0":
    taken = [socket.socket(socket.AF_UNIX) for i in range(2)]
    for s in taken: s.setblocking(False)
    for s in taken:
        try: s.connect("sock")
        except BlockingIOError: pass
    import time
    time.sleep(30)
listener.accept()
open("came", "w")' "$1" 3>&- &
	until [ -S sock ]; do kill -0 $!; done
}

@test "mrrecv: whoever listens there already is not connected to" {
	listener 5
	refused 2 "in use" mrrecv unix:sock image
	[ -S sock ] && [ ! -e came ]
	kill $!
}

@test "mrsend: a destination that accepts nobody is given up" {
	mkimage image
	listener 0
	sleep 0.2
	refused 2 "for 1 s" mrsend --timeout=1 image unix:sock
	kill $!
}

@test "mrsend: a connection that the kernel gives up is not one that is silent" {
	mkimage image
	refused 2 "cannot connect" mrsend image vsock:1:4321
}

@test "mrrecv: strangers do not keep a migration waiting" {
	mkdir kept
	mkimage --plain kept/main
	mrrecv --timeout=20 unix:sock image 3>&- 2>says >report &
	local pid=$!
	until [ -S sock ]; do kill -0 $pid; done
	# one who says what a channel would, and no more; one each second who
	# says nothing; and the migration
	python3 -c 'import socket, time
def come(text):
    s = socket.socket(socket.AF_UNIX)
    s.connect("sock")
    s.sendall(text)
    return s
strangers = [come(b"\x11\x22\x33\x44\0\0\0\1"), come(b"QE")]
main = come(open("kept/main", "rb").read())
try:
    for i in range(30):
        strangers.append(come(b""))
        time.sleep(1)
except OSError:
    pass' 3>&- &
	local others=$!
	wait $pid
	kill $others || :
	mrverify -q image
	grep "turned away a connection that says nothing" says
}

# A destination that takes all of the stream, and says that.
destination() { # BYTES [TIMES]
	rm -f sock
	python3 -c 'import socket, sys, threading
listener = socket.socket(socket.AF_UNIX)
listener.bind("sock")
listener.listen()
s = listener.accept()[0]
def drain():
    try:
        while s.recv(1 << 20): pass
    except OSError: pass
threading.Thread(target=drain, daemon=True).start()
text = sys.argv[1].encode("latin1").decode("unicode_escape").encode("latin1")
try:
    for i in range(int(sys.argv[2])): s.sendall(text)
    if text: threading.Event().wait(20)
except OSError: pass' "$1" "${2:-1}" 3>&- &
	until [ -S sock ]; do kill -0 $!; done
}

@test "mrsend: a destination that lies" {
	mkimage image
	local pong='\0\x02\0\x04\0\0\0\x01' shut='\0\x01\0\x04\0\0\0'
	destination "$pong$shut\0"
	mrsend -q image unix:sock
	kill $!
	destination "$shut\x01"
	refused 2 "could not load it" mrsend image unix:sock
	kill $!
	destination "$pong" 100000
	refused 2 "not how it went" mrsend image unix:sock
	kill $! || :
	destination '\0\x7f\0\0'
	refused 2 "return path" mrsend image unix:sock
	kill $!
	destination '\0\x01\xff\xff'
	refused 2 "return path" mrsend image unix:sock
	kill $!
	destination '\0\x01\0'
	refused 2 "nothing has come from the other end for 1 s" mrsend --timeout=1 image unix:sock
	kill $!
	destination ''
	refused 2 "see what it said itself" mrsend image unix:sock
}
