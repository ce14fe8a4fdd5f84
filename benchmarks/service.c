/* The one program of all measured services: static, so that no side pays for an interpreter or a dynamic linker.
 *
 *   service pause MARK        waits
 *   service http PORT MARK    answers every request with 200 and the moment of its own start
 *   service probe PORT        ends with 0 when somebody listens there: a health check
 *
 * MARK does nothing: it lets the benchmark find the process in /proc.
 */
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static void leave(int number) { (void)number, _exit(0); } /* pid 1 has no default action for SIGTERM */

static struct sockaddr_in address(const char *port, in_addr_t host) {
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(atoi(port)), .sin_addr.s_addr = htonl(host)};
	return a;
}

static int probe(const char *port) {
	struct sockaddr_in a = address(port, INADDR_LOOPBACK);
	return connect(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&a, sizeof a) != 0;
}

static int http(const char *port) {
	struct sockaddr_in a = address(port, INADDR_ANY);
	struct timespec born;
	char request[4096], answer[256];
	int yes = 1, door = socket(AF_INET, SOCK_STREAM, 0);

	clock_gettime(CLOCK_MONOTONIC, &born);
	snprintf(answer, sizeof answer, "HTTP/1.0 200 OK\r\nContent-Length: 20\r\n\r\n%010ld%09ld\n", (long)born.tv_sec,
		 born.tv_nsec);
	setsockopt(door, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
	if (bind(door, (struct sockaddr *)&a, sizeof a) || listen(door, 64))
		return 1;
	for (;;) {
		int visitor = accept(door, 0, 0);
		if (read(visitor, request, sizeof request) > 0 && write(visitor, answer, strlen(answer)) < 0)
			_exit(1);
		close(visitor);
	}
}

int main(int count, char **words) {
	signal(SIGTERM, leave);
	signal(SIGPIPE, SIG_IGN);
	if (count > 2 && !strcmp(words[1], "probe"))
		return probe(words[2]);
	if (count > 2 && !strcmp(words[1], "http"))
		return http(words[2]);
	for (;;)
		pause();
}
