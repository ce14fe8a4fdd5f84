#include <unistd.h>

int deep(int n) { return n ? deep(n - 1) + 1 : pause(); }

int main(void) { return deep(3); }
