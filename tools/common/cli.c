/* cli.c - options, signals and the end of every tool. */
#include "tools/common/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/common/metrics.h"

/* clang-format off */
struct poptOption cli_common[] = {
	{ "quiet", 'q', POPT_ARG_NONE, &cli.quiet, 0,
	  "results and errors only", NULL },
	{ "verbose", 'v', POPT_ARG_NONE, &cli.verbose, 0,
	  "tell what is being done", NULL },
	{ "json", 0, POPT_ARG_NONE, &cli.json, 0, "results as JSON", NULL },
	{ "progress", 0, POPT_ARG_INT, &cli.progress_fd, 0,
	  "write progress to this descriptor, as N/100 lines", "FD" },
	{ "version", 0, POPT_ARG_NONE, NULL, 'V', "show the version", NULL },
	{ "usage", 0, POPT_ARG_NONE, NULL, 'u',
	  "show the options in brief", NULL },
	{ "help", 'h', POPT_ARG_NONE, NULL, 'h', "show this help", NULL },
	POPT_TABLEEND
};
/* clang-format on */

static void on_signal(int sig)
{
	(void)sig;
	atomic_store(&cli_cancel, true);
}

static void catch_signals(void)
{
	static const int stop[] = { SIGINT, SIGTERM, SIGHUP };
	/* SA_RESTART: what waits does so in poll, which never restarts. */
	struct sigaction sa = { .sa_handler = on_signal,
				.sa_flags = SA_RESTART };

	(void)sigemptyset(&sa.sa_mask);
	for (size_t i = 0; i < sizeof(stop) / sizeof(stop[0]); i++) {
		struct sigaction was;

		/* nohup and background jobs ignore some on purpose. */
		if (!sigaction(stop[i], NULL, &was) &&
		    was.sa_handler != SIG_IGN)
			(void)sigaction(stop[i], &sa, NULL);
	}
	/* A reader that went away is a write error, told at the end; a file
	 * beyond the limit of the shell is one, too. */
	sa.sa_handler = SIG_IGN;
	(void)sigaction(SIGPIPE, &sa, NULL);
	(void)sigaction(SIGXFSZ, &sa, NULL);
}

/*
 * A file of ours that got the number of a standard descriptor, closed by the
 * caller, would be written to by messages, and a program that we become would
 * take it for its own. What is in its place fails as the closed one did.
 */
static void fill_standard(void)
{
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0 &&
		    open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd)
			exit(cli_trouble("/dev/null", MR_SYS, "cannot open"));
}

/* Whether progress can be written to a descriptor. */
static bool is_writable(int fd)
{
	const int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && (flags & O_ACCMODE) != O_RDONLY;
}

/* The options that print and leave. */
static void answer(poptContext ctx, int val, const char *args)
{
	char other[160];

	(void)snprintf(other, sizeof(other), "%s%s",
		       val == 'u' ? "" : "[OPTION...] ", args);
	poptSetOtherOptionHelp(ctx, other);
	if (val == 'V')
		(void)printf("%s (mrtools) %s\n%s%s%s%s", cli.tool, MR_VERSION,
			     cli.with ? "with: " : "", cli.with ? cli.with : "",
			     cli.with ? "\n" : "",
			     !cli.domains	? ""
			     : mr_has_libvirt() ? "VMs of: QEMU, libvirt\n"
						: "VMs of: QEMU\n");
	else if (val == 'u')
		poptPrintUsage(ctx, stdout, 0);
	else
		poptPrintHelp(ctx, stdout, 0);
	(void)poptFreeContext(ctx);
	exit(cli_finish(CLI_OK));
}

static bool parsing;

/* popt exits with 1 when it has no memory: here that would be an answer. */
static void on_popts_exit(int status, void *arg)
{
	(void)arg;
	if (parsing && status == EXIT_FAILURE)
		_exit(CLI_TROUBLE);
}

poptContext cli_parse(int argc, char **argv, const struct poptOption *options,
		      const char *args)
{
	const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
	poptContext ctx;
	int rc;

	if (argc > 0)
		cli.tool = slash ? slash + 1 : argv[0];
	fill_standard();
	catch_signals();
	(void)on_exit(on_popts_exit, NULL);
	parsing = true;
	ctx = poptGetContext(cli.tool, argc, (void *)argv, options, 0);
	rc = poptGetNextOpt(ctx);
	parsing = false;
	if (rc > 0)
		answer(ctx, rc, args);
	if (rc < -1)
		rc = cli_usage("%s: %s", poptBadOption(ctx, 0),
			       poptStrerror(rc));
	else if (cli.progress_fd != -1 && !is_writable(cli.progress_fd))
		rc = cli_usage("--progress: descriptor %d is not open to write",
			       cli.progress_fd);
	if (rc != -1) {
		(void)poptFreeContext(ctx);
		exit(cli_finish(rc));
	}
	return ctx;
}

const struct mr_watch *cli_watch(void)
{
	static const struct mr_watch watch = { .progress = cli_tell_progress,
					       .note = cli_tell_note,
					       .cancel = &cli_cancel };

	return &watch;
}

/* Whoever was to read the result does not want any more of it. */
static bool is_unread(void)
{
	struct pollfd p = { .fd = STDOUT_FILENO, .events = POLLOUT };

	return poll(&p, 1, 0) > 0 && (p.revents & POLLERR);
}

int cli_finish(int status)
{
	bool pending, bad, unread;

	cli_tell_end();
	if (cli.json)
		cli_json_failure(status);
	pending = __fpending(stdout) != 0;
	bad = ferror(stdout);
	unread = is_unread() && !cli.done;
	errno = 0;
	/* Closed beforehand (>&-) is fine as long as nothing was printed. */
	if ((fclose(stdout) && (pending || errno != EBADF)) || bad) {
		/* As if it had been told by the signal, without a word. */
		if (unread) {
			metrics_end(cli_worse(status, CLI_TROUBLE));
			(void)signal(SIGPIPE, SIG_DFL);
			(void)raise(SIGPIPE);
		}
		cli_say("cannot write the result%s%s", errno ? ": " : "",
			errno ? strerror(errno) : "");
		if (status < CLI_TROUBLE && !cli.done)
			status = CLI_TROUBLE;
	}
	metrics_end(status);
	return status;
}
