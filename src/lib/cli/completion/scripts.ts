/** What each shell loads. The scripts only call the program, so they always match the installed version. */
export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

const bash =
  String.raw`# absurdctl for bash: commands, flags, queues, tasks. In ~/.bashrc: source <(absurdctl completion bash)
_absurdctl() {
  local program=absurdctl line kind=''
  [[ $1 == */* && -x $1 ]] && program=$1
  COMPREPLY=()
  while IFS= read -r line; do
    if [[ -z $kind ]]; then
      kind=$line
    else
      COMPREPLY+=("$line")
    fi
  done < <("$program" __complete bash "\${COMP_LINE:0:COMP_POINT}" "$2" 2>/dev/null </dev/null)
  case $kind in
    files) compopt -o default 2>/dev/null ;;
    folders) compopt -o dirnames 2>/dev/null ;;
  esac
  return 0
}
complete -o nosort -F _absurdctl absurdctl 2>/dev/null || complete -F _absurdctl absurdctl
`.replaceAll('\\${', '${');

const zsh = String.raw`#compdef absurdctl
# absurdctl for zsh: commands, flags, queues, tasks. After compinit: source <(absurdctl completion zsh)
_absurdctl() {
  local program=absurdctl kind line value
  local -a answer described
  [[ \${words[1]} == */* && -x \${words[1]} ]] && program=\${words[1]}
  answer=("\${(@f)$("$program" __complete zsh "\${(@)words[1,CURRENT-1]}" "$PREFIX" 2>/dev/null </dev/null)}")
  kind=\${answer[1]}
  shift answer
  case $kind in
    files) _files; return ;;
    folders) _files -/; return ;;
  esac
  for line in "\${(@)answer}"; do
    value=\${line%%$'\t'*}
    value=\${value//\\/\\\\}
    described+=("\${value//:/\\:}:\${line#*$'\t'}")
  done
  (( $#described )) && _describe -V absurdctl described
}
if [[ \${funcstack[1]} == _absurdctl ]]; then
  _absurdctl "$@"
else
  compdef _absurdctl absurdctl
fi
`.replaceAll('\\${', '${');

const fish = String.raw`# absurdctl for fish: commands, flags, queues, tasks. In ~/.config/fish/completions/absurdctl.fish
function __absurdctl_complete
    set -l program absurdctl
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    if string match -q '*/*' -- $words[1]; and test -x $words[1]
        set program $words[1]
    end
    set -l answer ($program __complete fish $words "$current" 2>/dev/null </dev/null)
    set -l kind $answer[1]
    set -e answer[1]
    switch "$kind"
        case files
            __fish_complete_path "$current"
        case folders
            __fish_complete_directories "$current" ''
        case values
            if set -q answer[1]
                printf '%s\n' $answer
            end
    end
end
complete -c absurdctl -f -k -a '(__absurdctl_complete)'
`;

export const scripts: Record<Shell, string> = { bash, zsh, fish };
