// write_counter - preloaded into a server (LD_PRELOAD), it counts the calls that send server-sent
// events and the events in them, so that "events per write" is what really happened and not what a
// reader makes of TCP segments. The counters live in the file named by WRITE_COUNTER.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace {

struct counters {
  std::atomic<std::uint64_t> writes;
  std::atomic<std::uint64_t> events;
};

counters* shared() {
  static counters* const where = []() -> counters* {
    const char* name = std::getenv("WRITE_COUNTER");
    const int fd = name ? open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (fd < 0 || ftruncate(fd, sizeof(counters)) != 0)
      return nullptr;
    void* at = mmap(nullptr, sizeof(counters), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return at == MAP_FAILED ? nullptr : static_cast<counters*>(at);
  }();
  return where;
}

std::uint64_t chunks_in(const void* bytes, std::size_t length) {
  constexpr char mark[] = "event: chunk";
  std::uint64_t found = 0;
  const auto* at = static_cast<const char*>(bytes);
  for (const auto* end = at + length;
       (at = static_cast<const char*>(
            memmem(at, static_cast<std::size_t>(end - at), mark, sizeof mark - 1)));
       at += sizeof mark - 1)
    ++found;
  return found;
}

void count(const iovec* parts, std::size_t n, ssize_t sent) {
  auto* const to = shared();
  std::uint64_t events = 0;
  auto left = static_cast<std::size_t>(std::max<ssize_t>(sent, 0));
  for (std::size_t i = 0; to && i < n && left > 0; ++i) {
    const auto length = std::min(left, parts[i].iov_len);
    events += chunks_in(parts[i].iov_base, length);
    left -= length;
  }
  if (events) {
    to->writes.fetch_add(1, std::memory_order_relaxed);
    to->events.fetch_add(events, std::memory_order_relaxed);
  }
}

template <class Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" {

ssize_t sendmsg(int fd, const msghdr* message, int flags) {
  static const auto real = next<ssize_t(int, const msghdr*, int)>("sendmsg");
  const auto sent = real(fd, message, flags);
  count(message->msg_iov, message->msg_iovlen, sent);
  return sent;
}

ssize_t send(int fd, const void* bytes, size_t length, int flags) {
  static const auto real = next<ssize_t(int, const void*, size_t, int)>("send");
  const auto sent = real(fd, bytes, length, flags);
  const iovec part{const_cast<void*>(bytes), length};
  count(&part, 1, sent);
  return sent;
}

ssize_t writev(int fd, const iovec* parts, int n) {
  static const auto real = next<ssize_t(int, const iovec*, int)>("writev");
  const auto sent = real(fd, parts, n);
  count(parts, static_cast<std::size_t>(n), sent);
  return sent;
}

}  // extern "C"
