#include "gateway/docs.hpp"

namespace kgents::gateway {

namespace {

constexpr std::string_view page = R"html(<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>kgents SaaS API</title>
<h1>kgents SaaS API</h1>
<p>The machine-readable document is <a href="/openapi.json">/openapi.json</a>.</p>
</html>
)html";

}  // namespace

std::string_view docs_page() noexcept { return page; }

}  // namespace kgents::gateway
