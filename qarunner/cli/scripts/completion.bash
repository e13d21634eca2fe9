# qarunner completion for bash: source <(qarunner completion bash)
_qarunner() {
  local line
  COMPREPLY=()
  while IFS= read -r line; do
    [ "$line" = ":files" ] && { compopt -o filenames 2>/dev/null; _qarunner_files; return; }
    [ -n "$line" ] && COMPREPLY+=("$line")
  done < <(qarunner __complete bash "$COMP_LINE" "$COMP_POINT" "$COMP_WORDBREAKS" 2>/dev/null)
  case "${COMPREPLY[0]}" in *=|*:) compopt -o nospace 2>/dev/null;; esac
}
_qarunner_files() {
  local line
  while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "${COMP_WORDS[COMP_CWORD]#=}")
}
complete -o nosort -F _qarunner qarunner 2>/dev/null || complete -F _qarunner qarunner
