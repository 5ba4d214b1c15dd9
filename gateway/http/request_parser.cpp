#include "gateway/http/request_parser.hpp"

#include <algorithm>
#include <boost/beast/http/basic_parser.hpp>
#include <charconv>

namespace kgents::gateway::http {

namespace {

namespace beast = boost::beast;
using beast::http::error;
using beast::http::field;

char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
bool digit(char c) noexcept { return c >= '0' && c <= '9'; }
bool letter(char c) noexcept { return lower(c) >= 'a' && lower(c) <= 'z'; }

bool same(std::string_view a, std::string_view lower_case) noexcept {
  return a.size() == lower_case.size() && std::equal(a.begin(), a.end(), lower_case.begin(),
                                                     [](char x, char y) { return lower(x) == y; });
}

bool starts_with(std::string_view text, std::string_view lower_case) noexcept {
  return same(text.substr(0, lower_case.size()), lower_case);
}

// Beast's parser with the checks it leaves to its users. It lives on the stack for requests without
// a body, and is moved to the heap to decode one.
class parser final : public beast::http::basic_parser<true>, public body_decoder {
public:
  explicit parser(request& out) : out_{&out} {
    eager(false);
    header_limit(64 * 1024);  // head_scanner has the exact limit
    body_limit(boost::none);  // counted below
  }
  parser(parser&&) = default;

  refusal take_head(std::string_view head, head_facts& facts) {
    beast::error_code ec;
    put(boost::asio::buffer(head), ec);
    if (refused_.status != 0)
      return refused_;
    if (ec == error::bad_version)
      return {head.find(" HTTP/") != head.npos ? 505u : 400u, "Unsupported HTTP version"};
    if (ec || !is_header_done())
      return {400, "Malformed request"};
    if (auto r = check(facts); r.status != 0)
      return r;
    facts.http11 = version_ == 11;
    facts.keep_alive = keep_alive();
    facts.is_head = out_->method == "HEAD";
    return {};
  }

  void no_head() noexcept { out_ = nullptr; }

  size_t take(std::string_view in, std::string* out, body_decoder::state& now) override {
    body_ = out;
    eager(true);
    beast::error_code ec;
    const size_t used = put(boost::asio::buffer(in), ec);
    if (is_done())
      now = body_decoder::state::done;
    else if (!ec || ec == error::need_more)
      now = body_decoder::state::more;
    else
      now =
          ec == error::body_limit ? body_decoder::state::too_large : body_decoder::state::malformed;
    return used;
  }

  void limit(uint64_t bytes) noexcept override { left_ = bytes; }

private:
  refusal check(head_facts& facts) {
    if (hosts_ > 1 || (hosts_ == 0 && version_ == 11))
      return {400, "Exactly one Host header is required"};
    if (lengths_ > 1)
      return {400, "Repeated Content-Length"};
    if (codings_ > 0) {
      if (lengths_ > 0)
        return {400, "Content-Length beside Transfer-Encoding"};
      if (version_ == 10)
        return {400, "Transfer-Encoding in an HTTP/1.0 request"};
      if (codings_ > 1 || !same(coding_, "chunked"))
        return {501, "Unsupported Transfer-Encoding"};
    }
    if (unknown_expectation_)
      return {417, "Unsupported expectation"};
    facts.expects_continue = expects_continue_ && version_ == 11;
    if (lengths_ > 0 && length_ > 0)
      facts.content_length = length_;
    return {};
  }

  refusal take_target(std::string_view target) {
    if (target.find('#') != target.npos)
      return {400, "A request target has no fragment"};
    for (std::string_view scheme : {"http://", "https://"})
      if (starts_with(target, scheme)) {
        // Absolute form (RFC 9112 section 3.2.2): its authority counts, we serve all of them.
        target.remove_prefix(scheme.size());
        const auto slash = std::min(target.find_first_of("/?"), target.size());
        if (!valid_host(target.substr(0, slash)))
          return {400, "Malformed authority in the request target"};
        target.remove_prefix(slash);
        if (!target.starts_with('/'))
          out_->path = "/";
        break;
      }
    const bool asterisk = target == "*" && out_->method == "OPTIONS";
    if (!target.starts_with('/') && out_->path.empty() && !asterisk)
      return {400, "Malformed request target"};
    const auto mark = target.find('?');
    out_->path += target.substr(0, mark);
    if (mark != target.npos)
      out_->query = target.substr(mark + 1);
    return {};
  }

  void on_request_impl(beast::http::verb, beast::string_view method, beast::string_view target,
                       int version, beast::error_code& ec) override {
    version_ = version;
    out_->method.assign(method.data(), method.size());
    refuse(take_target({target.data(), target.size()}), ec);
  }

  void on_field_impl(field f, beast::string_view name, beast::string_view text,
                     beast::error_code& ec) override {
    if (!out_)
      return;  // a trailer
    if (out_->headers.size() == max_request_headers)
      return refuse({431, "Too many headers"}, ec);
    const std::string_view value{text.data(), text.size()};
    auto& [to_name, to_value] = out_->headers.emplace_back(std::string(name.size(), '\0'), value);
    std::transform(name.begin(), name.end(), to_name.begin(), lower);
    if (f == field::host) {
      ++hosts_;
      if (!valid_host(value))
        refuse({400, "Malformed Host header"}, ec);
    } else if (f == field::content_length) {
      ++lengths_;
      const auto [end, bad] = std::from_chars(value.data(), value.data() + value.size(), length_);
      if (bad == std::errc::result_out_of_range)
        refuse({413, "Request body too large"}, ec);
      else if (bad != std::errc{} || end != value.data() + value.size() || !digit(value[0]))
        refuse({400, "Malformed Content-Length"}, ec);
    } else if (f == field::transfer_encoding) {
      ++codings_;
      coding_ = value;
    } else if (f == field::expect) {
      (same(value, "100-continue") ? expects_continue_ : unknown_expectation_) = true;
    }
  }

  void refuse(refusal r, beast::error_code& ec) {
    if (r.status == 0)
      return;
    refused_ = r;
    ec = error::bad_value;
  }

  size_t append(beast::string_view piece, beast::error_code& ec) {
    if (piece.size() > left_) {
      ec = error::body_limit;
      return 0;
    }
    left_ -= piece.size();
    if (body_)
      body_->append(piece.data(), piece.size());
    return piece.size();
  }

  void on_response_impl(int, beast::string_view, int, beast::error_code&) override {}
  void on_header_impl(beast::error_code&) override {}
  void on_body_init_impl(const boost::optional<uint64_t>&, beast::error_code&) override {}
  size_t on_body_impl(beast::string_view piece, beast::error_code& ec) override {
    return append(piece, ec);
  }
  void on_chunk_header_impl(uint64_t size, beast::string_view, beast::error_code& ec) override {
    if (size > left_)
      ec = error::body_limit;
  }
  size_t on_chunk_body_impl(uint64_t, beast::string_view piece, beast::error_code& ec) override {
    return append(piece, ec);
  }
  void on_finish_impl(beast::error_code&) override {}

  request* out_;
  std::string* body_ = nullptr;
  uint64_t left_ = 0;
  uint64_t length_ = 0;
  std::string coding_;
  refusal refused_;
  int version_ = 11;
  unsigned hosts_ = 0;
  unsigned lengths_ = 0;
  unsigned codings_ = 0;
  bool expects_continue_ = false;
  bool unknown_expectation_ = false;
};

}  // namespace

bool valid_host(std::string_view host) noexcept {
  size_t at = 0;
  if (host.starts_with('[')) {
    at = host.find(']');
    if (at == host.npos || at < 3)
      return false;
    for (char c : host.substr(1, at - 1))
      if (!digit(c) && !(lower(c) >= 'a' && lower(c) <= 'f') && c != ':' && c != '.')
        return false;
    ++at;
  } else {
    while (at < host.size() && (letter(host[at]) || digit(host[at]) ||
                                std::string_view{"-._~%"}.find(host[at]) != std::string_view::npos))
      ++at;
    if (at == 0)
      return false;
  }
  if (at == host.size())
    return true;
  const auto port = host.substr(at + 1);
  unsigned value = 0;
  return host[at] == ':' && port.size() <= 5 && std::all_of(port.begin(), port.end(), digit) &&
         (std::from_chars(port.data(), port.data() + port.size(), value), value <= 65535);
}

refusal parse_head(std::string_view head, request& out, head_facts& facts) {
  parser p{out};
  auto r = p.take_head(head, facts);
  if (r.status == 0 && !p.is_done()) {
    p.no_head();
    facts.body = std::make_unique<parser>(std::move(p));
  }
  return r;
}

}  // namespace kgents::gateway::http
