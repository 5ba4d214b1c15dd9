# One static library a layer, from every .cpp in its folder except tests (*.test.cpp) and programs (program/*d.cpp mains
# are added in CMakeLists.txt). One precompiled header a layer: precompiled.hpp in its folder, if it has one.

add_library(kgents_options INTERFACE)
target_compile_options(kgents_options INTERFACE -Wall -Wextra -Werror)
target_compile_definitions(kgents_options INTERFACE
  BOOST_ASIO_NO_DEPRECATED BOOST_ASIO_SEPARATE_COMPILATION BOOST_BEAST_SEPARATE_COMPILATION
  BOOST_ASIO_DISABLE_BOOST_COROUTINE KGENTS_VERSION="${PROJECT_VERSION}")
target_include_directories(kgents_options INTERFACE ${PROJECT_SOURCE_DIR})
if(KGENTS_SANITIZE)
  # -fno-sanitize=null: CAF 0.17 dereferences a null tuple in init_fun_factory.hpp for actors without arguments.
  target_compile_options(kgents_options INTERFACE -fsanitize=${KGENTS_SANITIZE} -fno-omit-frame-pointer -Wno-tsan
    -Wno-maybe-uninitialized)  # GCC 12 suspects libstdc++'s <regex> under sanitizers; CAF's test runner includes it
  if(NOT KGENTS_SANITIZE MATCHES thread)
    target_compile_options(kgents_options INTERFACE -fno-sanitize=null -fno-sanitize-recover=undefined)
  endif()
  target_link_options(kgents_options INTERFACE -fsanitize=${KGENTS_SANITIZE})
endif()

function(kgents_layer name)
  cmake_parse_arguments(ARG "" "" "LIBS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${name}/*.cpp)
  list(FILTER sources EXCLUDE REGEX "\\.test\\.cpp$|/program/kgentsd\\.cpp$|/program/kg/")
  add_library(kgents_${name} STATIC ${sources})
  target_link_libraries(kgents_${name} PUBLIC kgents_options ${ARG_LIBS})
  if(EXISTS ${PROJECT_SOURCE_DIR}/${name}/precompiled.hpp)
    target_precompile_headers(kgents_${name} PRIVATE ${PROJECT_SOURCE_DIR}/${name}/precompiled.hpp)
  endif()
endfunction()

# Compiles sql/migrations/NN-name.sql into the library: migrations.cpp finds them as kgents::sql::embedded_migrations().
function(kgents_embed_migrations target folder)
  file(GLOB files CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${folder}/*.sql)
  list(SORT files)
  set(out ${CMAKE_BINARY_DIR}/generated/embedded_migrations.cpp)
  add_custom_command(OUTPUT ${out}
    COMMAND ${CMAKE_COMMAND} -DOUT=${out} "-DFILES=${files}" -P ${PROJECT_SOURCE_DIR}/.cmake/embed.cmake
    DEPENDS ${files} ${PROJECT_SOURCE_DIR}/.cmake/embed.cmake VERBATIM)
  target_sources(${target} PRIVATE ${out})
endfunction()

# Compiles a folder with a web page into the library: docs.cpp finds it as kgents::gateway::embedded_docs_page.
function(kgents_embed_page target folder)
  file(GLOB files CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${folder}/*.html ${PROJECT_SOURCE_DIR}/${folder}/*.css
    ${PROJECT_SOURCE_DIR}/${folder}/*.js)
  set(script ${PROJECT_SOURCE_DIR}/.cmake/embed_page.cmake)
  set(out ${CMAKE_BINARY_DIR}/generated/embedded_docs_page.cpp)
  add_custom_command(OUTPUT ${out}
    COMMAND ${CMAKE_COMMAND} -DOUT=${out} -DFOLDER=${PROJECT_SOURCE_DIR}/${folder} -P ${script}
    DEPENDS ${files} ${script} VERBATIM)
  target_sources(${target} PRIVATE ${out})
endfunction()

# A command line client from the .cpp files of its folder: a library, for unit tests too, and NAME from NAME.cpp.
function(kgents_client name folder)
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${folder}/*.cpp)
  list(FILTER sources EXCLUDE REGEX "\\.test\\.cpp$|/${name}\\.cpp$")
  add_library(kgents_${name} STATIC ${sources})
  target_link_libraries(kgents_${name} PUBLIC kgents_protocol Boost::headers OpenSSL::SSL CLI11::CLI11)
  # Compiled for it once more, as their libraries would bring all that the server stands on.
  set(shared actors/llm/http_stream_client.cpp actors/llm/http_response_decoder.cpp actors/llm/http_url.cpp
    actors/llm/sse_decoder.cpp actors/llm/beast_src.cpp sql/asio_src.cpp runtime/asio_tls_src.cpp)
  add_executable(${name} ${folder}/${name}.cpp ${shared})
  target_link_libraries(${name} PRIVATE kgents_${name} Threads::Threads)
endfunction()
