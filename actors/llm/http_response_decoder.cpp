#include "actors/llm/http_response_decoder.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>

namespace kgents::llm {

namespace http = boost::beast::http;
using boost::beast::error_code;
using boost::beast::string_view;

namespace {

constexpr unsigned max_interim_responses = 8;

std::string lower(string_view text) {
  std::string out{text};
  for (auto& c : out)
    if (c >= 'A' && c <= 'Z')
      c = static_cast<char>(c - 'A' + 'a');
  return out;
}

}  // namespace

class http_response_decoder::parser final : public http::basic_parser<false> {
public:
  parser() {
    header_limit(max_response_header_bytes);
    body_limit(boost::none);  // the reader's credit and its own bound on text limit it
    eager(true);
  }

  response_header header;
  std::string* body = nullptr;

private:
  void on_request_impl(http::verb, string_view, string_view, int, error_code&) override {}

  void on_response_impl(int code, string_view, int, error_code&) override {
    header.status = static_cast<unsigned>(code);
  }

  void on_field_impl(http::field name, string_view, string_view value, error_code&) override {
    if (name == http::field::content_type)
      header.content_type = lower(value);
    else if (name == http::field::content_encoding)
      header.content_encoding = lower(value);
    else if (name == http::field::retry_after)
      header.retry_after = std::string{value};
  }

  void on_header_impl(error_code&) override {}
  void on_body_init_impl(const boost::optional<uint64_t>&, error_code&) override {}

  size_t on_body_impl(string_view bytes, error_code&) override {
    body->append(bytes.data(), bytes.size());
    return bytes.size();
  }

  void on_chunk_header_impl(uint64_t, string_view, error_code&) override {}

  size_t on_chunk_body_impl(uint64_t, string_view bytes, error_code&) override {
    body->append(bytes.data(), bytes.size());
    return bytes.size();
  }

  void on_finish_impl(error_code&) override {}
};

http_response_decoder::http_response_decoder() : parser_{std::make_unique<parser>()} {}
http_response_decoder::~http_response_decoder() = default;

bool http_response_decoder::feed(std::string_view bytes, std::string& body) {
  std::string joined;
  if (!pending_.empty()) {
    joined = std::move(pending_);
    joined += bytes;
    pending_.clear();
    bytes = joined;
  }
  while (!bytes.empty() && !done()) {
    parser_->body = &body;
    error_code ec;
    const auto used = parser_->put(boost::asio::buffer(bytes), ec);
    bytes.remove_prefix(used);
    if (ec && ec != http::error::need_more)
      return false;
    if (parser_->is_done() && parser_->header.status < 200) {
      // 101 would change the protocol; we asked for nothing of the kind.
      if (parser_->header.status == 101 || ++interim_ > max_interim_responses)
        return false;
      parser_ = std::make_unique<parser>();
    } else if (ec || used == 0) {
      break;
    }
  }
  if (!done())
    pending_ = bytes;
  // The parser bounds the header by itself; this bounds chunk headers and trailers.
  return pending_.size() <= max_response_header_bytes;
}

bool http_response_decoder::end_of_stream() {
  if (done())
    return true;
  if (!header_done())
    return false;
  error_code ec;
  std::string none;
  parser_->body = &none;
  parser_->put_eof(ec);
  return !ec && parser_->is_done();
}

bool http_response_decoder::header_done() const noexcept { return parser_->is_header_done(); }
bool http_response_decoder::done() const noexcept { return parser_->is_done(); }
const response_header& http_response_decoder::header() const noexcept { return parser_->header; }

}  // namespace kgents::llm
