#compdef qarunner
# qarunner completion for zsh: source <(qarunner completion zsh), or as the file _qarunner in a folder of $fpath
_qarunner() {
  local value text
  local -a values texts space
  while IFS=$'\t' read -r value text; do
    [[ $value == ":files" ]] && { [[ $PREFIX == *=* ]] && compset -P '*='; _files; return }
    [[ -n $value ]] || continue
    values+=("$value")
    texts+=("$value${text:+  -- $text}")
  done < <(qarunner __complete zsh "${(Q@)words[2,CURRENT-1]}" "$PREFIX" 2>/dev/null)
  (( $#values )) || return 1
  [[ $values[1] == *[=:] ]] && space=(-S '')
  compadd -l "$space[@]" -d texts -a values
}
if [[ $funcstack[1] == _qarunner ]]; then _qarunner "$@"; else compdef _qarunner qarunner; fi
