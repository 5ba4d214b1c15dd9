#include "actors/llm/sse_decoder.hpp"

#include <algorithm>
#include <utility>

namespace kgents::llm {

void sse_decoder::feed(std::string_view bytes) {
  if (at_ > 0) {
    buffer_.erase(0, at_);
    scanned_ -= std::min(at_, scanned_);
    at_ = 0;
  }
  buffer_ += bytes;
}

sse_decoder::result sse_decoder::next(sse_event& out) {
  for (;;) {
    if (after_cr_ && at_ < buffer_.size()) {
      after_cr_ = false;
      if (buffer_[at_] == '\n')
        ++at_;
    }
    if (scanned_ < at_)
      scanned_ = at_;
    const auto end = buffer_.find_first_of("\r\n", scanned_);
    if (end == std::string::npos) {
      scanned_ = buffer_.size();
      const bool large = buffer_.size() - at_ + event_.data.size() > max_sse_event_bytes;
      return large ? result::too_large : result::need_more;
    }
    const auto text = std::string_view{buffer_}.substr(at_, end - at_);
    after_cr_ = buffer_[end] == '\r';
    at_ = end + 1;
    if (text.size() + event_.data.size() > max_sse_event_bytes)
      return result::too_large;
    if (!text.empty())
      line(text);
    else if (dispatch(out))
      return result::event;
  }
}

sse_decoder::result sse_decoder::last(sse_event& out) {
  if (const auto x = next(out); x != result::need_more)
    return x;
  if (at_ < buffer_.size())
    line(std::string_view{buffer_}.substr(at_));
  at_ = buffer_.size();
  return dispatch(out) ? result::event : result::need_more;
}

void sse_decoder::line(std::string_view text) {
  if (std::exchange(first_line_, false) && text.starts_with("\xEF\xBB\xBF"))
    text.remove_prefix(3);
  const auto colon = text.find(':');
  const auto field = text.substr(0, colon);
  auto value = colon == text.npos ? std::string_view{} : text.substr(colon + 1);
  if (value.starts_with(' '))
    value.remove_prefix(1);
  if (field == "data") {
    if (has_data_)
      event_.data += '\n';
    event_.data += value;
    has_data_ = true;
  } else if (field == "event") {
    event_.name = value;
  } else if (field == "id") {
    event_.id = value;
  }
}

bool sse_decoder::dispatch(sse_event& out) {
  if (!has_data_) {
    event_ = {};
    return false;
  }
  out = std::exchange(event_, {});
  has_data_ = false;
  return true;
}

}  // namespace kgents::llm
