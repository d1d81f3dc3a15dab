/*
 * cut-connection.c - cuts all connections of a process by unix sockets, as if
 * the other side had gone.
 *
 *   cut-connection PID
 *
 * Exit status: 0, 1 if there was none, 2 if it may not.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A named peer: a pair of our own making has none. */
static int cut(int fd)
{
	struct sockaddr_storage peer = { 0 };
	socklen_t len = sizeof(peer);

	if (getpeername(fd, (struct sockaddr *)&peer, &len) ||
	    peer.ss_family != AF_UNIX || len <= sizeof(peer.ss_family))
		return 0;
	return shutdown(fd, SHUT_RDWR) == 0;
}

int main(int argc, char **argv)
{
	char path[64];
	const struct dirent *e;
	int pidfd, n = 0;
	DIR *d;

	if (argc != 2)
		return 2;
	(void)snprintf(path, sizeof(path), "/proc/%ld/fd",
		       strtol(argv[1], NULL, 10));
	pidfd = (int)syscall(SYS_pidfd_open, strtol(argv[1], NULL, 10), 0);
	d = opendir(path);
	if (pidfd < 0 || !d) {
		perror(path);
		return 2;
	}
	while ((e = readdir(d))) {
		int fd = (int)syscall(SYS_pidfd_getfd, pidfd,
				      (int)strtol(e->d_name, NULL, 10), 0);

		if (fd < 0)
			continue;
		n += cut(fd);
		(void)close(fd);
	}
	(void)closedir(d);
	return n ? 0 : 1;
}
