#include "actors/outbound/http_client.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <charconv>
#include <iomanip>
#include <locale>
#include <sstream>
#include <stdexcept>

#include "actors/llm/http_stream_client.hpp"

namespace kgents::outbound {

struct http_client::parts {
  llm::http_url url;
  std::shared_ptr<boost::asio::ssl::context> tls;
  size_t max_answer_bytes;
};

namespace {

std::string_view name_of(llm::http_fault x) {
  switch (x) {
    case llm::http_fault::unresolved:
      return "unresolved";
    case llm::http_fault::refused:
      return "refused";
    case llm::http_fault::tls:
      return "tls";
    case llm::http_fault::cut:
      return "cut";
    case llm::http_fault::malformed:
      break;
  }
  return "malformed";
}

/// One call, which holds itself until it has ended.
class exchange final : public llm::http_stream_client::listener,
                       public std::enable_shared_from_this<exchange> {
public:
  exchange(size_t max_bytes, std::function<void(http_result)> done)
      : max_bytes_{max_bytes}, done_{std::move(done)} {}

  void start(runtime::io_thread& thread, const llm::http_url& url,
             std::shared_ptr<boost::asio::ssl::context> tls, std::string request,
             std::chrono::milliseconds deadline) {
    self_ = shared_from_this();
    client_ = std::make_shared<llm::http_stream_client>(thread.context(), url, std::move(tls),
                                                        std::move(request), *this);
    timer_.on_fire([this] { finish(http_failure{"timeout"}); });
    thread.wheel().arm(timer_, deadline);
    client_->start();
  }

  void on_connected() override {}

  void on_header(const llm::response_header& header) override {
    out_.status = header.status;
    out_.content_type = header.content_type;
    out_.retry_after = header.retry_after;
    client_->read();
  }

  void on_body(std::string_view bytes, bool last) override {
    if (out_.body.size() + bytes.size() > max_bytes_)
      return finish(http_failure{"too_large"});
    out_.body += bytes;
    if (last)
      finish(std::move(out_));
    else
      client_->read();
  }

  void on_fault(llm::http_fault fault) override { finish(http_failure{name_of(fault)}); }

private:
  void finish(http_result x) {
    const auto keep = std::move(self_);
    timer_.disarm();
    client_->close();
    if (auto done = std::exchange(done_, nullptr))
      done(std::move(x));
  }

  const size_t max_bytes_;
  std::function<void(http_result)> done_;
  std::shared_ptr<exchange> self_;
  std::shared_ptr<llm::http_stream_client> client_;
  runtime::wheel_timer timer_;
  http_answer out_;
};

constexpr std::chrono::seconds longest_wait = std::chrono::hours{1};

}  // namespace

http_client::http_client(std::string_view base_url, size_t max_answer_bytes) {
  auto url = llm::parse_http_url(base_url);
  if (!url)
    throw std::invalid_argument{"'" + std::string{base_url} +
                                "' is not http://host[:port][/path] or https://…"};
  auto tls = url->tls ? llm::make_tls_client("") : nullptr;
  parts_ = std::make_shared<parts>(parts{std::move(*url), std::move(tls), max_answer_bytes});
}

http_client::~http_client() = default;

void http_client::call(runtime::io_thread& thread, http_request what,
                       std::function<void(http_result)> done) const {
  auto request = what.method + " " + parts_->url.path + what.target + " HTTP/1.1\r\nHost: " +
                 parts_->url.authority() + "\r\nUser-Agent: kgents/" KGENTS_VERSION
                 "\r\nAccept-Encoding: identity\r\nConnection: close\r\n" +
                 what.header_lines;
  if (!what.body.empty() || what.method != "GET")
    request += "Content-Length: " + std::to_string(what.body.size()) + "\r\n";
  request += "\r\n";
  request += what.body;
  boost::asio::post(thread.context(), [&thread, parts = parts_, request = std::move(request),
                                       deadline = what.deadline, done = std::move(done)]() mutable {
    auto x = std::make_shared<exchange>(parts->max_answer_bytes, std::move(done));
    x->start(thread, parts->url, parts->tls, std::move(request), deadline);
  });
}

std::chrono::seconds retry_after(std::string_view value,
                                 std::chrono::system_clock::time_point now) {
  int64_t count = 0;
  const auto* end = value.data() + value.size();
  if (const auto [at, ec] = std::from_chars(value.data(), end, count); ec == std::errc{} && at == end)
    return std::clamp(std::chrono::seconds{count}, std::chrono::seconds{0}, longest_wait);
  std::tm date{};
  std::istringstream in{std::string{value}};
  in.imbue(std::locale::classic());
  in >> std::get_time(&date, "%a, %d %b %Y %H:%M:%S GMT");
  if (in.fail())
    return std::chrono::seconds{0};
  const auto at = std::chrono::system_clock::from_time_t(timegm(&date));
  return std::clamp(std::chrono::ceil<std::chrono::seconds>(at - now), std::chrono::seconds{0},
                    longest_wait);
}

std::string url_escaped(std::string_view text) {
  static constexpr char digits[] = "0123456789ABCDEF";
  std::string out;
  for (const unsigned char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                       (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
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

}  // namespace kgents::outbound
