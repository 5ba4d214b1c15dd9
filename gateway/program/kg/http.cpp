#include "gateway/program/kg/http.hpp"

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <charconv>
#include <deque>

#include "actors/llm/http_stream_client.hpp"

namespace kgents::kg {

namespace {

constexpr size_t max_answer_bytes = 64 * 1024 * 1024;
constexpr std::chrono::seconds longest_retry_after{3600};

failure failure_of(llm::http_fault x) {
  switch (x) {
    case llm::http_fault::unresolved:
      return failure::unresolved;
    case llm::http_fault::refused:
      return failure::refused;
    case llm::http_fault::tls:
      return failure::tls;
    case llm::http_fault::cut:
      return failure::cut;
    case llm::http_fault::malformed:
      break;
  }
  return failure::malformed;
}

std::chrono::seconds seconds_of(std::string_view text) {
  int64_t count = 0;
  const auto [at, ec] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (ec != std::errc{} || at != text.data() + text.size() || count < 0)
    return {};
  return std::min(std::chrono::seconds{count}, longest_retry_after);
}

/// A JWT instead of an API key: three parts, of which the first is a JSON object in base64url.
bool is_token(std::string_view key) {
  return key.starts_with("eyJ") && std::count(key.begin(), key.end(), '.') == 2;
}

class running_exchange final : public exchange, public llm::http_stream_client::listener {
public:
  running_exchange(boost::asio::io_context& io, const llm::http_url& url,
                   std::shared_ptr<boost::asio::ssl::context> tls, std::string request,
                   std::chrono::seconds silence)
      : silence_{silence},
        alarm_{io},
        client_{std::make_shared<llm::http_stream_client>(io, url, std::move(tls),
                                                          std::move(request), *this)} {
    client_->start();
    heard();
  }

  ~running_exchange() override { client_->close(); }

  bool streaming() const override { return streaming_; }
  bool ended() const override { return ended_; }
  std::optional<failure> failed() const override { return failed_; }
  const http_answer& answer() const override { return answer_; }
  bool has_event() const override { return !events_.empty(); }

  std::optional<llm::sse_event> next() override {
    if (events_.empty())
      return std::nullopt;
    auto out = std::move(events_.front());
    events_.pop_front();
    if (events_.empty() && !ended_)
      client_->read();
    return out;
  }

private:
  void on_connected() override { heard(); }

  void on_header(const llm::response_header& header) override {
    heard();
    answer_.status = header.status;
    answer_.retry_after = seconds_of(header.retry_after);
    streaming_ = header.status == 200 && header.content_type.starts_with("text/event-stream");
    client_->read();
  }

  void on_body(std::string_view bytes, bool last) override {
    heard();
    if (!streaming_)
      answer_.body += bytes;
    else if (!decode(bytes, last))
      return end(failure::too_large);
    if (answer_.body.size() > max_answer_bytes)
      return end(failure::too_large);
    if (last)
      end(std::nullopt);
    else if (events_.empty())
      client_->read();
  }

  void on_fault(llm::http_fault fault) override { end(failure_of(fault)); }

  bool decode(std::string_view bytes, bool last) {
    using result = llm::sse_decoder::result;
    decoder_.feed(bytes);
    llm::sse_event x;
    auto got = decoder_.next(x);
    for (; got == result::event; got = decoder_.next(x))
      events_.push_back(std::move(x));
    // What the end of a broken connection left half said is no event: it comes again.
    return got != result::too_large || last;
  }

  void end(std::optional<failure> why) {
    failed_ = why;
    ended_ = true;
    alarm_.cancel();
    client_->close();
  }

  void heard() {
    alarm_.expires_after(silence_);
    alarm_.async_wait([this, here = std::weak_ptr{here_}](boost::system::error_code ec) {
      if (!ec && here.lock() != nullptr && !ended_)
        end(failure::silent);
    });
  }

  const std::chrono::seconds silence_;
  boost::asio::steady_timer alarm_;
  std::shared_ptr<llm::http_stream_client> client_;
  llm::sse_decoder decoder_;
  std::deque<llm::sse_event> events_;
  http_answer answer_;
  std::optional<failure> failed_;
  bool streaming_ = false;
  bool ended_ = false;
  // An alarm that has rung is handled later, perhaps after this.
  const std::shared_ptr<int> here_ = std::make_shared<int>(0);
};

}  // namespace

bool event_loop::until(const std::function<bool()>& done, steady::time_point deadline) {
  while (!done()) {
    if (steady::now() >= deadline)
      return false;
    io_.run_one_until(deadline);
  }
  return true;
}

http_client::http_client(event_loop& loop, llm::http_url server, std::string key)
    : loop_{loop}, server_{std::move(server)}, key_{std::move(key)} {
  if (server_.tls)
    tls_ = llm::make_tls_client("");
}

std::unique_ptr<exchange> http_client::begin(const http_request& what,
                                             std::chrono::seconds silence) const {
  auto text = what.method + " " + server_.path + what.target +
              " HTTP/1.1\r\nHost: " + server_.authority() +
              "\r\nUser-Agent: kg/" KGENTS_VERSION
              "\r\nAccept-Encoding: identity\r\nConnection: close\r\n" +
              what.header_lines;
  if (is_token(key_))
    text += "Authorization: Bearer " + key_ + "\r\n";
  else if (!key_.empty())
    text += "X-API-Key: " + key_ + "\r\n";
  if (!what.body.empty())
    text += "Content-Type: application/json\r\n";
  if (!what.body.empty() || what.method != "GET")
    text += "Content-Length: " + std::to_string(what.body.size()) + "\r\n";
  text += "\r\n" + what.body;
  return std::make_unique<running_exchange>(loop_.context(), server_, tls_, std::move(text),
                                            silence);
}

std::variant<http_answer, failure> http_client::call(const http_request& what,
                                                     std::chrono::seconds silence) const {
  const auto x = begin(what, silence);
  // An answer that drips for ever ends too.
  const bool in_time = loop_.until([&] { return x->ended(); }, steady::now() + 4 * silence);
  if (!in_time)
    return failure::silent;
  if (x->failed())
    return *x->failed();
  return x->answer();
}

std::string escaped(std::string_view text) {
  static constexpr char digits[] = "0123456789ABCDEF";
  std::string out;
  for (const unsigned char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '.' || c == '_' || c == '~';
    if (plain) {
      out += static_cast<char>(c);
    } else {
      out += '%';
      out += digits[c >> 4];
      out += digits[c & 15];
    }
  }
  return out;
}

}  // namespace kgents::kg
