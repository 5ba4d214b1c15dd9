#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace kgents::llm {

constexpr size_t max_response_header_bytes = 32 * 1024;

/// The part of a response's header that matters here.
struct response_header {
  unsigned status = 0;
  std::string content_type;  ///< lower case
  std::string content_encoding;
  std::string retry_after;
};

/// An HTTP/1.1 response from bytes that arrive in any portions: framing by Beast's parser, body
/// handed out as it comes, interim (1xx) responses skipped. No I/O.
class http_response_decoder {
public:
  http_response_decoder();
  ~http_response_decoder();

  /// Appends the part of the body in `bytes` to `body`. False: this is no HTTP response, or its
  /// header is too large.
  [[nodiscard]] bool feed(std::string_view bytes, std::string& body);

  /// The connection ended. False: before the response did.
  [[nodiscard]] bool end_of_stream();

  [[nodiscard]] bool header_done() const noexcept;
  [[nodiscard]] bool done() const noexcept;
  [[nodiscard]] const response_header& header() const noexcept;

private:
  class parser;
  std::unique_ptr<parser> parser_;
  std::string pending_;  // what the parser could not use yet
  unsigned interim_ = 0;
};

}  // namespace kgents::llm
