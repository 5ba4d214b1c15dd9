// http_reader.hpp - incremental readers for the benchmark clients: an HTTP/1.1 response and the
// server-sent events in its body. They trust their server and keep no more than an unfinished
// piece.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

namespace bench {

class response_reader {
public:
  // Consumes bytes of one response, hands each piece of its body (chunked coding removed) to
  // `body(string_view)`, and returns what lies behind the response's end (empty before it).
  template <class Body>
  std::string_view feed(std::string_view bytes, Body&& body);

  [[nodiscard]] int status() const { return status_; }
  [[nodiscard]] bool has_head() const { return state_ != state::head; }
  [[nodiscard]] bool complete() const { return state_ == state::done; }
  [[nodiscard]] const std::string& head() const { return head_; }
  void reset() { *this = {}; }

private:
  enum class state { head, counted, until_close, chunk_size, chunk, chunk_end, trailer, done };

  void read_head() {
    status_ = std::atoi(head_.c_str() + std::min<std::size_t>(9, head_.size()));
    std::string lower = head_;
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    const auto length = lower.find("\r\ncontent-length:");
    if (status_ == 101) {
      state_ = state::until_close;
    } else if (lower.find("\r\ntransfer-encoding: chunked") != std::string::npos) {
      state_ = state::chunk_size;
    } else if (length != std::string::npos) {
      left_ = std::strtoull(lower.c_str() + length + 17, nullptr, 10);
      state_ = left_ ? state::counted : state::done;
    } else {
      state_ = status_ == 204 || status_ == 304 ? state::done : state::until_close;
    }
  }

  state state_ = state::head;
  int status_ = 0;
  std::uint64_t left_ = 0;
  std::string head_;
  std::string line_;
};

template <class Body>
std::string_view response_reader::feed(std::string_view bytes, Body&& body) {
  while (!bytes.empty() && state_ != state::done) {
    switch (state_) {
      case state::head: {
        const auto before = head_.size();
        head_.append(bytes);
        const auto end = head_.find("\r\n\r\n", before < 3 ? 0 : before - 3);
        if (end == std::string::npos)
          return {};
        bytes.remove_prefix(end + 4 - before);
        head_.resize(end + 2);
        read_head();
        break;
      }
      case state::counted:
      case state::chunk: {
        const auto piece = bytes.substr(0, std::min<std::uint64_t>(left_, bytes.size()));
        left_ -= piece.size();
        bytes.remove_prefix(piece.size());
        if (left_ == 0)
          state_ = state_ == state::chunk ? state::chunk_end : state::done;
        body(piece);
        break;
      }
      case state::until_close:
        body(bytes);
        return {};
      case state::chunk_size:
      case state::chunk_end:
      case state::trailer: {
        const auto newline = bytes.find('\n');
        line_.append(bytes.substr(0, newline));
        if (newline == std::string_view::npos)
          return {};
        bytes.remove_prefix(newline + 1);
        if (state_ == state::chunk_end) {
          state_ = state::chunk_size;
        } else if (state_ == state::trailer) {
          state_ = line_ == "\r" ? state::done : state::trailer;
        } else {
          left_ = std::strtoull(line_.c_str(), nullptr, 16);
          state_ = left_ ? state::chunk : state::trailer;
        }
        line_.clear();
        break;
      }
      case state::done:
        break;
    }
  }
  return bytes;
}

class event_reader {
public:
  // Hands every complete event (without its closing blank line) to `event(string_view)`.
  template <class Event>
  void feed(std::string_view bytes, Event&& event) {
    if (!partial_.empty()) {
      partial_.append(bytes);
      const auto used = scan(partial_, event);
      partial_.erase(0, used);
    } else {
      partial_ = bytes.substr(scan(bytes, event));
    }
  }

private:
  template <class Event>
  static std::size_t scan(std::string_view bytes, Event&& event) {
    std::size_t from = 0;
    for (std::size_t end = 0; (end = bytes.find("\n\n", from)) != std::string_view::npos;) {
      event(bytes.substr(from, end - from));
      from = end + 2;
    }
    return from;
  }

  std::string partial_;
};

// A stamp " @SEQUENCE:NANOSECONDS;" in a token: what was sent when.
struct stamp {
  std::uint64_t sequence = 0;
  std::uint64_t sent_ns = 0;
};

// Calls `found(stamp)` for each stamp in `text`.
template <class Found>
void for_each_stamp(std::string_view text, Found&& found) {
  for (std::size_t at = 0; (at = text.find('@', at)) != std::string_view::npos; ++at) {
    stamp s;
    const char* end = text.data() + text.size();
    const auto [colon, error] = std::from_chars(text.data() + at + 1, end, s.sequence);
    if (error != std::errc() || colon == end || *colon != ':')
      continue;
    if (std::from_chars(colon + 1, end, s.sent_ns).ec == std::errc())
      found(s);
  }
}

// The value of `name` (with its colon, e.g. "event:") in an event, empty when it is absent.
inline std::string_view field(std::string_view event, std::string_view name) {
  for (std::size_t at = 0; at < event.size();) {
    const auto end = std::min(event.find('\n', at), event.size());
    auto line = event.substr(at, end - at);
    if (line.starts_with(name)) {
      line.remove_prefix(name.size());
      return line.starts_with(' ') ? line.substr(1) : line;
    }
    at = end + 1;
  }
  return {};
}

}  // namespace bench
