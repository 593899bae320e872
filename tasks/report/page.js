// A gang under the pointer lights up on every map of the page. The page reads the same without this.
document.querySelectorAll('.maps').forEach(function (maps) {
  function light(gang) {
    maps.querySelectorAll('.lit').forEach(function (part) { part.classList.remove('lit'); });
    maps.classList.toggle('lighting', gang !== null);
    if (gang === null) return;
    maps.querySelectorAll('[data-g="' + gang + '"]').forEach(function (part) { part.classList.add('lit'); });
  }
  maps.addEventListener('pointerover', function (event) {
    var part = event.target.closest('[data-g]');
    light(part ? part.getAttribute('data-g') : null);
  });
  maps.addEventListener('pointerleave', function () { light(null); });
});
