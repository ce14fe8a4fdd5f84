/* Pid 1 of a container with `init: true`: runs the service as its child, passes signals on to the child's process
 * group, reaps whatever is orphaned, and ends as the child ends (128 + n when a signal n ended it).
 *
 * argv: the name, the program's path, then the program's own argv. Descriptor 3 is the starter's report: it closes
 * with a good exec; 'I' and an errno go through it after a bad one. No C library: a few hundred bytes, no relocation.
 *
 * All signals are blocked and taken one by one with rt_sigtimedwait: a blocked signal is kept for pid 1 too, while
 * one with its default action is thrown away there (pid_namespaces(7)).
 */

typedef unsigned long word;

#if defined(__x86_64__)
enum { WRITE = 1, CLOSE = 3, IOCTL = 16, GETPID = 39, EXIT = 60, EXECVE = 59, WAIT4 = 61, KILL = 62, FCNTL = 72,
       SETPGID = 109, SIGPROCMASK = 14, SIGTIMEDWAIT = 128, CLONE = 56 };
static long call(long n, word a, word b, word c, word d)
{
    long result;
    register word r10 __asm__("r10") = d;
    register word r8 __asm__("r8") = 0;
    __asm__ volatile("syscall" : "=a"(result) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return result;
}
__asm__(".globl _start\n_start: mov %rsp, %rdi\nand $-16, %rsp\ncall start\n");
#elif defined(__aarch64__)
enum { WRITE = 64, CLOSE = 57, IOCTL = 29, GETPID = 172, EXIT = 93, EXECVE = 221, WAIT4 = 260, KILL = 129, FCNTL = 25,
       SETPGID = 154, SIGPROCMASK = 135, SIGTIMEDWAIT = 137, CLONE = 220 };
static long call(long n, word a, word b, word c, word d)
{
    register long x8 __asm__("x8") = n;
    register word x0 __asm__("x0") = a;
    register word x1 __asm__("x1") = b;
    register word x2 __asm__("x2") = c;
    register word x3 __asm__("x3") = d;
    register word x4 __asm__("x4") = 0;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
    return (long)x0;
}
__asm__(".globl _start\n_start: mov x0, sp\nbl start\n");
#endif

enum { REPORT = 3, SIGCHLD = 17, SIGKILL = 9, SIG_SETMASK = 2, F_SETFD = 2, FD_CLOEXEC = 1, TIOCSPGRP = 0x5410,
       WNOHANG = 1, ENOENT = 2, ENOTDIR = 20, EINTR = 4 };

static void leave(int code)
{
    for (;;)
        call(EXIT, (word)code, 0, 0, 0);
}

static void become_service(char **argv, char **envp)
{
    word none = 0;
    int self = (int)call(GETPID, 0, 0, 0, 0);
    call(SETPGID, 0, 0, 0, 0);
    call(IOCTL, 0, TIOCSPGRP, (word)&self, 0); /* in front, where standard input is the terminal */
    call(FCNTL, REPORT, F_SETFD, FD_CLOEXEC, 0);
    call(SIGPROCMASK, SIG_SETMASK, (word)&none, 0, 8);
    int error = (int)-call(EXECVE, (word)argv[1], (word)(argv + 2), (word)envp, 0);
    unsigned char said[5] = {'I', (unsigned char)error, (unsigned char)(error >> 8), 0, 0};
    call(WRITE, REPORT, (word)said, sizeof said, 0);
    leave(error == ENOENT || error == ENOTDIR ? 127 : 126);
}

static void reap(long service)
{
    int status;
    long pid;
    while ((pid = call(WAIT4, (word)-1, (word)&status, WNOHANG, 0)) > 0)
        if (pid == service)
            leave(status & 0x7f ? 128 + (status & 0x7f) : status >> 8 & 0xff);
}

__attribute__((used)) void start(word *stack)
{
    int count = (int)stack[0];
    char **argv = (char **)(stack + 1), **envp = argv + count + 1;
    word all = ~0UL;
    if (count < 3)
        leave(125);
    call(SIGPROCMASK, SIG_SETMASK, (word)&all, 0, 8);
    long service = call(CLONE, SIGCHLD, 0, 0, 0);
    if (service == 0)
        become_service(argv, envp);
    if (service < 0)
        leave(125);
    call(SETPGID, (word)service, (word)service, 0, 0); /* both do it: neither can be late */
    for (word fd = 0; fd <= REPORT; fd++)
        call(CLOSE, fd, 0, 0, 0);
    for (;;) {
        long signal = call(SIGTIMEDWAIT, (word)&all, 0, 0, 8);
        if (signal == SIGCHLD)
            reap(service);
        else if (signal > 0 && call(KILL, (word)-service, (word)signal, 0, 0) < 0)
            call(KILL, (word)service, (word)signal, 0, 0);
    }
}
