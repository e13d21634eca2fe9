# qarunner completion for fish: qarunner completion fish > ~/.config/fish/completions/qarunner.fish
function __qarunner_complete
    set -l before (commandline -opc)
    set -l begun (commandline -ct)
    set -l found (qarunner __complete fish $before[2..-1] -- "$begun" 2>/dev/null)
    if test "$found[1]" = ":files"
        set -l option (string match -r '^.*=' -- "$begun")
        for path in (__fish_complete_path (string replace -r '^.*=' '' -- "$begun"))
            echo "$option$path"
        end
    else if set -q found[1]
        printf '%s\n' $found
    end
end
complete -c qarunner -f -a '(__qarunner_complete)'
