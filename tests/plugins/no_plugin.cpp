// A shared library that has nothing to do with Interplay.
extern "C" int answer() { return 42; }
